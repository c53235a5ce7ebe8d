// The least of a server that a push needs: every operation is applied. Says afterwards what it was sent.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { HEADERS, PATHS, type PushRequest, type PushResponse } from '../../protocol/messages.ts';

export interface PushStub {
  readonly url: string;
  /** What came since the last call, in order, each operation once however often it was sent. */
  taken(): string[];
  close(): void;
}

export async function startPushStub(): Promise<PushStub> {
  const taken = new Map<string, string>();
  const server = createServer(async (request, response) => {
    response.setHeader('content-type', 'application/json');
    response.setHeader(HEADERS.restoreEpoch, '1');
    if (request.url === PATHS.health) return void response.end('{"status":"ok","region":"us-east-2"}');
    if (request.method !== 'POST' || request.url !== PATHS.push) return void response.writeHead(404).end();
    const { operations } = JSON.parse(await text(request)) as PushRequest;
    const answer: PushResponse = {
      verdicts: operations.map(({ session, sequence, version, kind, collection, id }) => {
        taken.set(`${session}:${sequence}`, `${kind} ${collection}/${id}`);
        return { session, sequence, verdict: 'applied', version };
      }),
    };
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken() {
      const all = [...taken.values()];
      taken.clear();
      return all;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
