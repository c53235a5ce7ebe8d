// A sync drill's history on disk, for other checkers: one JSON object a line, each saying what it is.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { SyncHistory } from './history.ts';

/** As `<name>.jsonl` in the folder. */
export async function keepHistory(folder: string, name: string, history: SyncHistory): Promise<void> {
  const stream = createWriteStream(join(folder, `${name}.jsonl`));
  const failed = once(stream, 'error').then(([error]) => {
    throw error;
  });
  // Whoever waits below hears of it.
  failed.catch(() => undefined);
  for (const line of linesOf(history))
    if (!stream.write(`${JSON.stringify(line)}\n`)) await Promise.race([once(stream, 'drain'), failed]);
  stream.end();
  await Promise.race([once(stream, 'close'), failed]);
}

function* linesOf({ made, sent, reads, log, table, devices, cuts }: SyncHistory): Generator<object> {
  for (const entry of made) yield { type: 'made', ...entry };
  for (const entry of sent) yield { type: 'sent', ...entry };
  for (const entry of reads) yield { type: 'read', ...entry };
  for (const entry of log) yield { type: 'log', ...entry };
  for (const [key, held] of table) yield { type: 'table', key, ...held };
  for (const { held, ...device } of devices) yield { type: 'device', ...device, held: held && [...held] };
  for (const entry of cuts) yield { type: 'cut', ...entry };
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
