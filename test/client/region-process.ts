// A region as a process: records in files that all regions share, written at most once per idempotency key, so that a
// second effect of one operation would be seen. Started by regions.ts; ends with its parent.
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { HEADERS } from '../../protocol/messages.ts';
import type { RegionProcessSettings } from './regions.ts';

const settings = JSON.parse(process.argv[2] ?? '{}') as RegionProcessSettings;
const RECORD = /^\/v1\/records\/([A-Za-z0-9_-]+)\/([A-Za-z0-9._~-]+)$/;

const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
  const receivedAt = performance.timeOrigin + performance.now();
  let body = '';
  try {
    for await (const chunk of request) body += chunk;
  } catch {
    return;
  }
  const answer = () => {
    response.setHeader('x-rehearsal-received-at', String(receivedAt));
    response.setHeader(HEADERS.region, settings.region);
    if (request.url === '/health') response.end('{"status":"ok"}');
    else records(request, response, body);
  };
  if (settings.delayMs) setTimeout(answer, settings.delayMs);
  else answer();
});

function records(request: IncomingMessage, response: ServerResponse, body: string): void {
  const [, collection, id] = RECORD.exec(request.url ?? '') ?? [];
  if (collection === undefined || id === undefined) {
    response.writeHead(404).end();
    return;
  }
  const file = join(settings.store, `${collection}-${id}.json`);
  const stored = read(file);
  if (request.method === 'GET') {
    if (stored === undefined) response.writeHead(404).end();
    else
      response
        .writeHead(200, { etag: `"${stored.version}"` })
        .end(JSON.stringify({ collection, id, ...stored }));
    return;
  }
  const key = request.headers[HEADERS.idempotencyKey];
  const version = String(request.headers[HEADERS.version]);
  if (stored !== undefined && stored.key === key) {
    response.writeHead(200, { [HEADERS.verdict]: 'duplicate', etag: `"${stored.version}"` }).end('{}');
    return;
  }
  writeFileSync(`${file}.${process.pid}`, JSON.stringify({ key, version, payload: JSON.parse(body) }));
  renameSync(`${file}.${process.pid}`, file);
  appendFileSync(join(settings.store, 'effects.log'), `${key}\n`);
  response.writeHead(201, { [HEADERS.verdict]: 'applied', etag: `"${version}"` }).end('{}');
}

function read(file: string): { key: string; version: string; payload: unknown } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

process.on('disconnect', () => process.exit());
server.listen(settings.port ?? 0, '127.0.0.1', () =>
  process.send?.({ port: (server.address() as AddressInfo).port }),
);
