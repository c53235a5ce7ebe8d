// The way between devices and regions: requests and answers are delayed, lost, doubled and overtaken; a copy of a
// request may arrive long after its sender gave up. Devices are cut off from regions and back.
import type { ProxyEvent } from '../../lambdas/http.ts';
import type { Dice } from './dice.ts';
import type { Scheduler } from './scheduler.ts';

export interface HttpResult {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Probabilities a request, and times in ms. */
export interface NetworkFaults {
  readonly latencyMs: readonly [number, number];
  readonly requestLost: number;
  readonly answerLost: number;
  /** A second copy goes to any region right behind the first: a hedge. */
  readonly hedged: number;
  /** Yet another copy arrives this much later, wherever. */
  readonly late: number;
  readonly lateMs: readonly [number, number];
  /** Takes this long instead. */
  readonly slow: number;
  readonly slowMs: readonly [number, number];
}

export type Serve = (region: string, event: ProxyEvent) => Promise<HttpResult>;

/** How long a device waits for one copy's answer. */
const ANSWER_MS_MAX = 30_000;

export class Network {
  readonly regions: readonly string[];
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #faults: () => NetworkFaults;
  readonly #serve: Serve;
  readonly #cuts = new Set<string>();

  constructor(
    regions: readonly string[],
    scheduler: Scheduler,
    dice: Dice,
    faults: () => NetworkFaults,
    serve: Serve,
  ) {
    this.regions = regions;
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.#faults = faults;
    this.#serve = serve;
  }

  cut(device: string, region: string): void {
    this.#cuts.add(`${device}|${region}`);
  }

  join(device: string, region: string): void {
    this.#cuts.delete(`${device}|${region}`);
  }

  joinAll(): void {
    this.#cuts.clear();
  }

  /**
   * One request of a device, with whatever copies of it travel. Resolves with the first answer that says what became of
   * it; a failure only when all copies failed. Rejects then, or when the signal fires.
   */
  request(device: string, event: ProxyEvent, signal: AbortSignal): Promise<HttpResult> {
    const faults = this.#faults();
    const dice = this.#dice;
    const first = dice.pick(this.regions);
    const copies: [string, number][] = [[first, 0]];
    if (dice.chance(faults.hedged)) copies.push([dice.pick(this.regions), dice.between(1, 120)]);
    if (dice.chance(faults.late)) {
      const region = dice.pick(this.regions);
      this.#scheduler.after(dice.between(...faults.lateMs), () => void this.#arrive(device, region, event));
    }
    const { promise, resolve, reject } = Promise.withResolvers<HttpResult>();
    const giveUp = () => reject(new Error('the device gave up'));
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    let open = copies.length;
    const done = (result: HttpResult) => {
      signal.removeEventListener('abort', giveUp);
      resolve(result);
    };
    const failed = (why: string) => {
      open -= 1;
      if (open > 0) return;
      signal.removeEventListener('abort', giveUp);
      reject(new Error(why));
    };
    for (const [region, startMs] of copies)
      this.#scheduler.after(startMs, () => this.#send(device, region, event, done, failed));
    return promise;
  }

  #send(
    device: string,
    region: string,
    event: ProxyEvent,
    resolve: (result: HttpResult) => void,
    failed: (why: string) => void,
  ): void {
    const { requestLost, answerLost, slow } = this.#faults();
    const dice = this.#dice;
    const timer = this.#scheduler.after(ANSWER_MS_MAX, () => failed(`${region} did not answer`));
    if (dice.chance(requestLost)) return;
    this.#scheduler.after(this.#delay(dice.chance(slow)), async () => {
      const result = await this.#arrive(device, region, event);
      if (result === undefined || dice.chance(answerLost)) return;
      this.#scheduler.after(this.#delay(dice.chance(slow)), () => {
        if (timer.cancelled || this.#cuts.has(`${device}|${region}`)) return;
        timer.cancelled = true;
        if (result.status >= 500 || result.status === 429) failed(`${region} answered ${result.status}`);
        else resolve(result);
      });
    });
  }

  /** Undefined when it does not get there. */
  async #arrive(device: string, region: string, event: ProxyEvent): Promise<HttpResult | undefined> {
    if (this.#cuts.has(`${device}|${region}`)) return undefined;
    return this.#serve(region, event);
  }

  #delay(slow: boolean): number {
    const { latencyMs, slowMs } = this.#faults();
    return this.#dice.between(...(slow ? slowMs : latencyMs));
  }
}
