// Which operations are on their way. A key is in one batch at most (PROTOCOL 5.2), so a verdict always finds the
// operation it is about, and what is behind it on the key has not been sent.
import { BATCH_OPERATIONS_MAX, BODY_BYTES_MAX } from '../../protocol/limits.ts';
import type { Operation } from '../../protocol/operations.ts';
import type { Batch, BatchLimits } from './contract.ts';
import type { Ledger } from './ledger.ts';
import type { Waiting } from './waiting.ts';

/** What an operation's line lacks of its JSON in a request: session, sequence and member names. */
const OPERATION_JSON_BYTES = 200;

const NONE: ReadonlySet<string> = new Set();

export class InFlight {
  readonly #ledger: Ledger;
  readonly #operations = new Map<string, Waiting>();
  readonly #keys = new Set<string>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  find(session: string, sequence: number): Waiting | undefined {
    return this.#operations.get(nameOf(session, sequence));
  }

  /** In order, replayed ones first; a key's operations are taken from its front without gaps. */
  next(limits: BatchLimits, operationOf: (waiting: Waiting) => Operation): Batch | undefined {
    const { operationsMax = BATCH_OPERATIONS_MAX, bytesMax = BODY_BYTES_MAX, excluded } = limits;
    if (!this.#anyOpen(excluded)) return undefined;
    const taken: Waiting[] = [];
    const keys = new Set<string>();
    let bytes = OPERATION_JSON_BYTES;
    let full = false;
    for (const waiting of this.#ledger.waiting) {
      if (this.#keys.has(waiting.key) || excluded?.has(waiting.key)) continue;
      bytes += waiting.bytes + OPERATION_JSON_BYTES;
      full = taken.length > 0 && (bytes > bytesMax || taken.length >= operationsMax);
      if (full) break;
      taken.push(waiting);
      keys.add(waiting.key);
    }
    if (taken.length === 0) return undefined;
    const operations = taken.map(operationOf);
    for (const key of keys) this.#keys.add(key);
    for (const waiting of taken) this.#operations.set(nameOf(waiting.session, waiting.sequence), waiting);
    return { operations, keys, full: full || taken.length >= operationsMax };
  }

  /** Whether any key is neither in flight nor excluded. Without this look, long chains on a few keys would be walked to
   * their ends for nothing each time. */
  #anyOpen(excluded: ReadonlySet<string> = NONE): boolean {
    const { waiting } = this.#ledger;
    let open = waiting.keyCount;
    if (open > this.#keys.size + excluded.size) return true;
    for (const key of this.#keys) if (waiting.lastOf(key) !== undefined) open--;
    for (const key of excluded) if (!this.#keys.has(key) && waiting.lastOf(key) !== undefined) open--;
    return open > 0;
  }

  release({ keys, operations }: Batch): void {
    for (const key of keys) this.#keys.delete(key);
    for (const { session, sequence } of operations) this.#operations.delete(nameOf(session, sequence));
  }
}

function nameOf(session: string, sequence: number): string {
  return `${session}:${sequence}`;
}
