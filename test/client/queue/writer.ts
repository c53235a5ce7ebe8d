// A process that edits and settles until it is killed, and says on file descriptor 1 what it was told.
// Arguments: the queue's path, the first number to write, after how many edits to stop by itself, pages in the log.
import { writeSync } from 'node:fs';
import { openQueueFile } from '../../../client/queue.ts';
import { SAYS } from './witness.ts';

const [path = '', first = '1', most = '1000000', logPages = '500'] = process.argv.slice(2);
const KEYS = 7;

const queue = openQueueFile({
  path,
  reserveBytes: 0,
  keptBytesMax: 2_000,
  logPagesMax: Number(logPages),
});
let number = Number(first);
const end = number + Number(most);
while (number < end) {
  // Groups of one to seven, so that commits of all sizes are met.
  const group = Array.from({ length: 1 + (number % 7) }, () => number++);
  await Promise.all(
    group.map(async (payload) => {
      const id = `n${payload % KEYS}`;
      writeSync(1, SAYS.begin(payload, id));
      const { session, sequence } = await queue.append({ kind: 'put', collection: 'notes', id, payload });
      writeSync(1, SAYS.taken(payload, session, sequence));
    }),
  );
  const batch = number % 3 === 0 ? queue.nextBatch({ operationsMax: 1 + (number % 9) }) : undefined;
  if (batch === undefined) continue;
  for (const operation of batch.operations) writeSync(1, SAYS.settle(operation));
  const verdicts = batch.operations.map(
    ({ session, sequence, version }) => ({ session, sequence, verdict: 'applied', version }) as const,
  );
  queue.settle({ verdicts, restoreEpoch: 0 });
  queue.release(batch);
  for (const operation of batch.operations) writeSync(1, SAYS.settled(operation));
}
