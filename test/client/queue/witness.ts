// What a queue's user saw before the crash, and whether the queue that comes back agrees: nothing acknowledged lost,
// nothing settled come back, nothing there that nobody wrote, each key in order.
import type { Queue } from '../../../client/queue/queue.ts';
import type { Operation } from '../../../protocol/operations.ts';

/** One line each, written before (`begin`, `settle`) or after (`taken`, `settled`) what it tells of. */
export const SAYS = {
  begin: (number: number, id: string) => `b ${number} ${id}\n`,
  taken: (number: number, session: string, sequence: number) => `a ${number} ${session}:${sequence}\n`,
  settle: (operation: Operation) => `t ${operation.session}:${operation.sequence}\n`,
  settled: (operation: Operation) => `s ${operation.session}:${operation.sequence}\n`,
} as const;

export class Witness {
  /** Numbers of edits by the operation they became; those with no answer yet. */
  readonly #taken = new Map<string, number>();
  readonly #begun = new Map<number, string>();
  readonly #settling = new Set<string>();
  readonly #settled = new Set<string>();

  /** A line cut off by the crash does not count. */
  hear(text: string): void {
    for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
      const [what, first = '', second = ''] = line.split(' ');
      if (what === 'b') this.#begun.set(Number(first), second);
      if (what === 'a') this.#taken.set(second, Number(first));
      if (what === 't') this.#settling.add(first);
      if (what === 's') this.#settled.add(first);
    }
  }

  /** How many edits were acknowledged. */
  get taken(): number {
    return this.#taken.size;
  }

  /** Findings; empty when all is well. What the queue now tells is heard: it was opened, so it is durable. */
  examine(queue: Queue): string[] {
    const wrong: string[] = [];
    const pending = new Map<string, Operation>();
    const lasts = new Map<string, number>();
    for (const operation of drain(queue)) {
      const name = `${operation.session}:${operation.sequence}`;
      const number = operation.kind === 'put' ? Number(operation.payload) : Number.NaN;
      if (pending.has(name)) wrong.push(`${name} waits twice`);
      if (this.#begun.get(number) !== operation.id) wrong.push(`${name} is nobody's edit: ${number}`);
      if ((lasts.get(operation.id) ?? 0) >= number) wrong.push(`${name} is out of order on ${operation.id}`);
      if (this.#settled.has(name)) wrong.push(`${name} was settled and waits again`);
      lasts.set(operation.id, number);
      pending.set(name, operation);
    }
    for (const [name, number] of this.#taken) {
      const operation = pending.get(name);
      if (operation === undefined && !this.#settling.has(name))
        wrong.push(`${name}, edit ${number}, is lost`);
      if (operation?.kind === 'put' && operation.payload !== number)
        wrong.push(`${name} has another payload`);
    }
    for (const [name, operation] of pending)
      if (operation.kind === 'put') this.#taken.set(name, Number(operation.payload));
    for (const name of this.#taken.keys()) if (!pending.has(name)) this.#settled.add(name);
    return wrong;
  }
}

/** All that waits, in the order to be sent; nothing is left in flight. */
export function drain(queue: Queue): readonly Operation[] {
  const batch = queue.nextBatch({ operationsMax: queue.pending, bytesMax: Number.POSITIVE_INFINITY });
  if (batch === undefined) return [];
  queue.release(batch);
  return batch.operations;
}
