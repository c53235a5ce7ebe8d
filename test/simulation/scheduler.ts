// Virtual time. Everything that happens in a history is an event in one queue, ordered by time and then by when it was
// put there; between two events all promises that can go on do go on. Nothing here ever waits for real.
import { setFlagsFromString } from 'node:v8';

export interface Timer {
  readonly atMs: number;
  cancelled: boolean;
}

interface Event extends Timer {
  readonly order: number;
  readonly run: () => void;
}

/**
 * Runs every promise job there is, and those they bring, before it returns. V8's own way of doing that is hidden behind
 * a flag; a turn of the event loop does the same and takes ten times as long. It does nothing inside a promise job, so
 * histories start from the event loop.
 */
const runPromiseJobs = makeRunPromiseJobs();

function makeRunPromiseJobs(): () => void {
  setFlagsFromString('--allow-natives-syntax');
  const run = new Function('%PerformMicrotaskCheckpoint()') as () => void;
  run();
  setFlagsFromString('--no-allow-natives-syntax');
  return run;
}

/** What a history takes longer than may be a loop without end. */
const EVENTS_MAX = 400_000;

export class Scheduler {
  /** True time, Unix ms. What machines believe is theirs. */
  nowMs: number;
  events = 0;
  readonly #heap: Event[] = [];
  #order = 0;

  constructor(startMs: number) {
    this.nowMs = startMs;
  }

  at(atMs: number, run: () => void): Timer {
    const event = { atMs: Math.max(atMs, this.nowMs), order: this.#order, run, cancelled: false };
    this.#order += 1;
    this.#push(event);
    return event;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.at(this.nowMs + delayMs, run);
  }

  /** Early, and without an error, when the signal fires. */
  wait(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener('abort', stop);
        resolve();
      });
      const stop = () => {
        timer.cancelled = true;
        resolve();
      };
      signal?.addEventListener('abort', stop, { once: true });
    });
  }

  /** Runs events until `isOver` says so, time is up, or there are none; returns which. */
  run(isOver: () => boolean, untilMs: number): 'over' | 'late' | 'idle' {
    runPromiseJobs();
    while (!isOver()) {
      const event = this.#heap[0];
      if (event === undefined) return 'idle';
      if (event.atMs > untilMs) {
        this.nowMs = untilMs;
        return 'late';
      }
      this.#pop();
      if (event.cancelled) continue;
      this.nowMs = event.atMs;
      this.events += 1;
      if (this.events > EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events: a loop without end`);
      event.run();
      runPromiseJobs();
    }
    return 'over';
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[index] = heap[parent] as Event;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/**
 * Puts virtual time in place of the global timers, which the functions' own timeouts use, and gives them back with the
 * function it returns.
 */
export function takeTimers(scheduler: Scheduler): () => void {
  const { setTimeout, clearTimeout } = globalThis;
  const virtual = {
    setTimeout: (run: () => void, delayMs = 0) => scheduler.after(delayMs, run),
    clearTimeout: (timer: Timer | undefined) => {
      if (timer !== undefined) timer.cancelled = true;
    },
  };
  Object.assign(globalThis, virtual);
  return () => {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  };
}
