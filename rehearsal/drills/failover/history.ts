// The history of a drill: one record per operation, as its client saw it, one JSON object a line. Whatever judges a
// drill, now or later, reads this and nothing else. Times are Unix ms with fractions, all from one machine's clock.

import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { AttemptKind, AttemptOutcome } from '../../../client/errors.ts';

export interface AttemptEntry {
  readonly region: string;
  readonly kind: AttemptKind;
  readonly startedAt: number;
  /** Absent when it never ended. */
  readonly endedAt?: number;
  readonly outcome: AttemptOutcome;
  /** Absent without an answer. */
  readonly status?: number;
}

export interface OperationEntry {
  /** `library`: through the client library, both endpoints known. `dns`: plain HTTP to the failover name. */
  readonly client: 'library' | 'dns';
  readonly operation: 'put' | 'get';
  /** `<collection>/<id>`; every put makes a record of its own. */
  readonly key: string;
  /** What a put wrote, or a get was answered with. */
  readonly version?: string;
  /** A get's: the version acknowledged before it began, so that an older answer or none is a lost write. */
  readonly acknowledged?: string;
  /** When the open loop meant it to start; latencies count from here, so that waiting in line is not left out. */
  readonly scheduledAt: number;
  readonly endedAt: number;
  /** Answered as it should be. */
  readonly ok: boolean;
  readonly status?: number;
  /** `eden-verdict`, of a put. */
  readonly verdict?: string;
  /** Why it is not ok. */
  readonly error?: string;
  /** Who gave the answer, and when that region received the request. */
  readonly region?: string;
  readonly receivedAt?: number;
  /** All copies sent, in order. */
  readonly attempts: readonly AttemptEntry[];
}

/** Appends operations to a file; `close` resolves once all of them are written. */
export class HistoryWriter {
  readonly #stream: WriteStream;
  #failed: Error | undefined;

  constructor(file: string) {
    this.#stream = createWriteStream(file);
    this.#stream.on('error', (error) => {
      this.#failed = error;
    });
  }

  add(entry: OperationEntry): void {
    this.#stream.write(`${JSON.stringify(entry)}\n`);
  }

  async close(): Promise<void> {
    if (this.#failed === undefined) {
      this.#stream.end();
      await once(this.#stream, 'close');
    }
    if (this.#failed !== undefined) throw this.#failed;
  }
}

/** Throws with the line's number when one is not whole. */
export async function readHistory(file: string): Promise<readonly OperationEntry[]> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as OperationEntry;
    } catch (cause) {
      throw new Error(`${file}:${index + 1} is no JSON: ${line.slice(0, 80)}`, { cause });
    }
  });
}
