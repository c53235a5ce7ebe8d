// A world for sender and puller in which nothing happens by itself: time stands until moved, requests wait for the test
// to answer them, and everything said is written down.
import assert from 'node:assert/strict';
import type { Pulled } from '../../../client/queue/pull.ts';
import type { Queue } from '../../../client/queue/queue.ts';
import type { Settlement } from '../../../client/queue/settle.ts';
import type {
  Degradation,
  PullAnswer,
  PullCall,
  PullerOptions,
  PushAnswer,
  PushCall,
  SenderOptions,
  SyncHooks,
  SyncMetric,
  SyncWorld,
  Wire,
} from '../../../client/sync/contract.ts';
import { Puller } from '../../../client/sync/puller.ts';
import { Sender } from '../../../client/sync/sender.ts';
import type { Operation } from '../../../protocol/operations.ts';
import type { DeferredReason, Verdict } from '../../../protocol/verdicts.ts';
import { MemoryDisk } from '../queue/memory-disk.ts';
import { applied, World } from '../queue/queues.ts';

/** All microtasks there are now, and those they make. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Timer {
  readonly at: number;
  readonly ring: () => void;
}

export class VirtualTime {
  nowMs = 1_000;
  #timers: Timer[] = [];

  readonly now = () => this.nowMs;

  readonly wait = (ms: number, signal?: AbortSignal): Promise<void> => {
    assert.ok(Number.isFinite(ms) && ms >= 0, `a wait of ${ms}`);
    return new Promise((resolve) => {
      if (signal?.aborted) resolve();
      const timer = { at: this.nowMs + ms, ring: resolve };
      this.#timers.push(timer);
      signal?.addEventListener('abort', () => {
        this.#timers = this.#timers.filter((it) => it !== timer);
        resolve();
      });
    });
  };

  get timers(): number {
    return this.#timers.length;
  }

  /** Moves on by `ms`, ringing what is due on the way in its order. */
  async advance(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    await settled();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.nowMs = Math.max(this.nowMs, next.at);
      this.#timers = this.#timers.filter((timer) => timer !== next);
      next.ring();
      await settled();
    }
    this.nowMs = end;
  }

  #next(end: number): Timer | undefined {
    const [first] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
    return first;
  }
}

interface Asked<Call, Answer> {
  readonly call: Call;
  readonly answer: (answer: Answer) => Promise<void>;
  readonly fail: (error: unknown) => Promise<void>;
}

export class ScriptedWire implements Wire {
  readonly pushes: Asked<PushCall, PushAnswer>[] = [];
  readonly pulls: Asked<PullCall, PullAnswer>[] = [];
  /** Answers pushes as they come; without it the test does. */
  onPush: ((call: PushCall) => PushAnswer | Promise<PushAnswer>) | undefined;
  onPull: ((call: PullCall) => PullAnswer | Promise<PullAnswer>) | undefined;

  push(call: PushCall): Promise<PushAnswer> {
    return asked(this.pushes, call, this.onPush);
  }

  pull(call: PullCall): Promise<PullAnswer> {
    return asked(this.pulls, call, this.onPull);
  }

  get lastPush() {
    return this.pushes.at(-1) ?? assert.fail('expected a push, got none');
  }

  get lastPull() {
    return this.pulls.at(-1) ?? assert.fail('expected a pull, got none');
  }
}

/** As the request layer: it rejects when the signal fires. */
function asked<Call extends { readonly signal: AbortSignal }, Answer>(
  list: Asked<Call, Answer>[],
  call: Call,
  respond: ((call: Call) => Answer | Promise<Answer>) | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    call.signal.addEventListener('abort', () => reject(new Error('the caller gave up')));
    list.push({
      call,
      answer: (answer) => {
        resolve(answer);
        return settled();
      },
      fail: (error) => {
        reject(error);
        return settled();
      },
    });
    if (respond) Promise.resolve(call).then(respond).then(resolve, reject);
  });
}

export interface Heard {
  readonly settlements: Settlement[];
  readonly pulled: Pulled[];
  readonly restored: number[];
  readonly degraded: Degradation[];
  readonly metrics: (readonly [SyncMetric, number])[];
  idle: number;
}

export function listening(): { readonly hooks: SyncHooks; readonly heard: Heard } {
  const heard: Heard = { settlements: [], pulled: [], restored: [], degraded: [], metrics: [], idle: 0 };
  return {
    heard,
    hooks: {
      settled: (settlement) => heard.settlements.push(settlement),
      idle: () => {
        heard.idle += 1;
      },
      pulled: (pulled) => heard.pulled.push(pulled),
      restored: (operations) => heard.restored.push(operations),
      degraded: (degradation) => heard.degraded.push(degradation),
      metric: (name, value) => heard.metrics.push([name, value]),
    },
  };
}

export interface Setting {
  readonly options?: Partial<SenderOptions & PullerOptions>;
  readonly disk?: MemoryDisk;
  /** What dice show. @default 0.5 */
  readonly random?: () => number;
}

/** A queue in memory, and sender and puller on it. */
export function setting({ options = {}, disk = new MemoryDisk(), random = () => 0.5 }: Setting = {}) {
  const time = new VirtualTime();
  const wire = new ScriptedWire();
  const writer = new World();
  const queue: Queue = writer.open(disk);
  const { hooks, heard } = listening();
  const world: SyncWorld = { wire, now: time.now, random, wait: time.wait };
  const parts = { queue, world, options, hooks };
  const sender = new Sender(parts);
  const puller = new Puller(parts);
  /** Appends, and lets the sender know. */
  const put = async (id: string, payload: string | number = id) => {
    const receipt = await writer.put(queue, id, payload);
    sender.notify();
    await settled();
    return receipt;
  };
  const putMany = async (count: number, name = 'n') => {
    const receipts = Array.from({ length: count }, (_, index) =>
      queue.append({ kind: 'put', collection: 'notes', id: `${name}${index}`, payload: index }),
    );
    writer.endTurn();
    await Promise.all(receipts);
    sender.notify();
    await settled();
  };
  return { time, wire, queue, writer, disk, heard, sender, puller, put, putMany };
}

export function verdicts(
  operations: readonly Operation[],
  verdictOf = applied,
  restoreEpoch = 0,
): PushAnswer {
  return { kind: 'verdicts', verdicts: operations.map(verdictOf), restoreEpoch };
}

export function acceptAll({ operations, restoreEpoch }: PushCall): PushAnswer {
  return verdicts(operations, applied, restoreEpoch);
}

export function deferred(
  { session, sequence }: Operation,
  reason: DeferredReason = 'store_unavailable',
): Verdict {
  return { session, sequence, verdict: 'deferred', reason };
}

export function idsOf(call: PushCall): string[] {
  return call.operations.map(({ id }) => id);
}
