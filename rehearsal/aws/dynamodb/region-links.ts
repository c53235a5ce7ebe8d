// What lies between regions: a delay each way, and whether anything passes at all; and which regions' replicas are
// there. Whoever waits for the network to change is woken here.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LinkState } from '../../supervisor/messages.ts';

const nameOf = (a: string, b: string) => (a < b ? `${a} ${b}` : `${b} ${a}`);

export class RegionLinks {
  readonly #links = new Map<string, { cut: boolean; delayMs: number }>();
  readonly #down = new Set<string>();
  readonly #listeners = new Set<() => void>();

  /** Links that were never set have no delay and are open. */
  constructor(links: readonly LinkState[] = []) {
    this.set(links);
  }

  /** Replaces the state of the links listed; the others stay. */
  set(links: readonly LinkState[]): void {
    for (const { between, cut, delayMs } of links) {
      if (!(delayMs >= 0))
        throw new RangeError(`link ${between.join('–')}: delayMs must be 0 or more, got ${delayMs}`);
      this.#links.set(nameOf(...between), { cut, delayMs });
    }
    this.#changed();
  }

  /** A region's replica, with everything the region serves, goes or comes back. */
  setUp(region: string, up: boolean): void {
    if (up) this.#down.delete(region);
    else this.#down.add(region);
    this.#changed();
  }

  isUp(region: string): boolean {
    return !this.#down.has(region);
  }

  /** Whether something sent from one region reaches the other's services now. */
  reaches(from: string, to: string): boolean {
    return this.isUp(to) && (from === to || !this.#links.get(nameOf(from, to))?.cut);
  }

  /** One way, in ms. */
  delayMs(from: string, to: string): number {
    return from === to ? 0 : (this.#links.get(nameOf(from, to))?.delayMs ?? 0);
  }

  /** Calls back after every change, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves with what `find` gives as soon as that is something; undefined after `timeoutMs` or on abort. */
  async until<T>(find: () => T | undefined, timeoutMs: number, signal?: AbortSignal): Promise<T | undefined> {
    const found = find();
    if (found !== undefined || timeoutMs <= 0 || signal?.aborted) return found;
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    const stop = this.onChange(() => {
      const now = find();
      if (now !== undefined) resolve(now);
    });
    const timer = setTimeout(resolve, timeoutMs, undefined);
    const aborted = () => resolve(undefined);
    signal?.addEventListener('abort', aborted, { once: true });
    try {
      return await promise;
    } finally {
      stop();
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
    }
  }

  /** Lets one way's worth of time pass. */
  async travel(from: string, to: string): Promise<void> {
    const delayMs = this.delayMs(from, to);
    if (delayMs > 0) await sleep(delayMs);
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
