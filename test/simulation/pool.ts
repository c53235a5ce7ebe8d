// Worker threads with histories to play, a piece at a time.
import { Worker } from 'node:worker_threads';
import type { Mutation } from './mutation.ts';
import type { Report, Task, WorkerData } from './worker.ts';

export class PlayerThread {
  readonly #worker: Worker;
  #waiting: { resolve: (report: Report) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  constructor(mutations: readonly Mutation[] = []) {
    const workerData: WorkerData = { mutations };
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData,
      resourceLimits: { maxYoungGenerationSizeMb: 128 },
    });
    this.#worker.on('message', (report: Report) => {
      this.#waiting?.resolve(report);
      this.#waiting = undefined;
    });
    this.#worker.on('error', (error) => {
      this.#failure = error;
      this.#waiting?.reject(error);
    });
  }

  /** One task at a time. */
  play(task: Task): Promise<Report> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(task);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Runs `work` on each item, so many at once. */
export async function eachOnThreads<Item>(
  threads: number,
  items: Iterable<Item>,
  work: (item: Item, thread: number) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: threads }, async (_, thread) => {
      for (let next = queue.next(); !next.done; next = queue.next()) await work(next.value, thread);
    }),
  );
}
