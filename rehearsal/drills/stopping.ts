// What ends a drill before its time: the system broke down by itself, or whoever runs it gave up. Every wait of a drill
// is for the one or the other.
import { DrillError, type DrilledSystem } from './system.ts';

export class Stopping {
  #stopped: Promise<never>;

  constructor({ broken }: Pick<DrilledSystem, 'broken'>, signal: AbortSignal | undefined) {
    this.#stopped = Promise.race([
      broken.then((error) => {
        throw new DrillError(`the system broke down by itself: ${error.message}`, { cause: error });
      }),
      new Promise<never>((_, reject) => {
        if (signal?.aborted) reject(signal.reason);
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
    ]);
    this.#stopped.catch(() => undefined);
  }

  /** Something else that ends it. */
  alsoOn(failure: Promise<never>): void {
    this.#stopped = Promise.race([this.#stopped, failure]);
    this.#stopped.catch(() => undefined);
  }

  orStopped<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#stopped]);
  }

  async pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.orStopped(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, ms);
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }
}
