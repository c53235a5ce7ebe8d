// Bytes of an object that break off on the way are gone on with from where they were, and only of the same object.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { openBucket } from '../../bin/buckets.ts';

const CONTENT = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));

test('an object that breaks off twice comes to its end whole', async () => {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const { range, 'if-match': etag } = request.headers;
    ranges.push(range);
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    if (range) assert.equal(etag, '"v1"');
    const rest = CONTENT.subarray(from);
    response.writeHead(range ? 206 : 200, { 'content-length': rest.length, etag: '"v1"' });
    if (ranges.length > 2) response.end(rest);
    else response.write(rest.subarray(0, 40_000), () => setTimeout(() => request.socket.destroy(), 20));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const bucket = openBucket({
    ...{ region: 'us-east-2', bucket: 'b', endpoint: `http://127.0.0.1:${port}` },
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
  try {
    const pieces: Uint8Array[] = [];
    for await (const piece of (await bucket.bytes('k')) ?? assert.fail('no object')) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(CONTENT));
    assert.equal(ranges.length, 3);
    assert.deepEqual(ranges[0], undefined);
  } finally {
    bucket.close();
    server.close();
    server.closeAllConnections();
  }
});
