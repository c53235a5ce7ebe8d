// A usual service: Express, one PutItem a request, the answer once it is stored.
import { Agent, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { ATTRIBUTES, recordPk, STATE } from '../../protocol/items.ts';
import { requirePeer } from '../peers.ts';
import { serveParent } from '../processes.ts';
import { COLLECTION, TENANT } from './operations.ts';
import { IDLE_CONNECTION_MS, type ServiceAnswers } from './peer-service.ts';
import type { TableAccess } from './plant.ts';

/** As far as it is used. */
interface Express {
  (): {
    use(middleware: unknown): void;
    put(path: string, handle: (request: Request, response: ServerResponse) => Promise<void>): void;
    listen(port: number, host: string, done: () => void): Server;
  };
  json(): unknown;
}
type Request = IncomingMessage & { readonly params: { readonly id: string }; readonly body: unknown };

const SOCKETS_MAX = 64;

serveParent<ServiceAnswers, TableAccess>(async ({ region, endpoint, tableName, credentials }) => {
  const express: Express = requirePeer('express');
  const client = new DynamoDBClient({
    region,
    endpoint,
    credentials,
    requestHandler: new NodeHttpHandler({
      httpAgent: new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX }),
    }),
  });
  const app = express();
  app.use(express.json());
  app.put('/notes/:id', async ({ params, body }, response) => {
    const key = { tenant: TENANT, collection: COLLECTION, id: params.id };
    const item = {
      [ATTRIBUTES.pk]: { S: recordPk(key) },
      [ATTRIBUTES.sk]: { S: STATE },
      [ATTRIBUTES.payload]: { S: JSON.stringify(body) },
    };
    await client.send(new PutItemCommand({ TableName: tableName, Item: item }));
    response.writeHead(204).end();
  });
  const server = await new Promise<Server>((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening));
  });
  server.keepAliveTimeout = IDLE_CONNECTION_MS;
  return { port: async () => (server.address() as AddressInfo).port };
});
