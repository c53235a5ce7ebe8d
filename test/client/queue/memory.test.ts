// What an open queue keeps in memory must not grow with the payloads that wait in its file.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openQueueFile } from '../../../client/queue.ts';
import { folderOf } from './queues.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

function heapBytes(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

test('a queue opened on megabytes of waiting payloads keeps none of them in memory', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const before = openQueueFile({ path, reserveBytes: 0 });
  const payload = 'x'.repeat(50_000);
  await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      before.append({ kind: 'put', collection: 'notes', id: `n${n}`, payload }),
    ),
  );
  before.close();
  const without = heapBytes();
  const queue = openQueueFile({ path, reserveBytes: 0 });
  const grownBytes = heapBytes() - without;
  assert.equal(queue.pending, 200);
  assert.ok(grownBytes < 1_000_000, `expected under 1 MB for 10 MB that wait, got ${grownBytes} bytes`);
  queue.close();
});
