// A device of a drill, in a process of its own so that it can be killed, and so that no measurement shares a thread with
// what it measures: the client library as any application uses it, doing what the drill says. Forked by the drill with
// DeviceOptions as JSON in the first argument; ends when the drill does.
import { setImmediate as turn } from 'node:timers/promises';
import { openSyncClient, type SyncClient } from '../client/index.ts';
import { atPace } from './drills/pace.ts';
import type {
  Answers,
  DeviceOptions,
  FromDevice,
  Look,
  MakeOrder,
  ToDevice,
} from './drills/sync/device-messages.ts';
import { editOf, idOf } from './drills/sync/edits.ts';
import { type Held, markOf } from './drills/sync/history.ts';
import { preciseNow } from './measuring.ts';

function say(message: FromDevice): void {
  // The drill may just have gone; then this process is about to end too.
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}

function inWords(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** The machine's clock, or one that stands elsewhere. */
class DeviceClock {
  #offsetMs: number;

  constructor(standsAtMs: number | undefined) {
    this.#offsetMs = standsAtMs === undefined ? 0 : standsAtMs - Date.now();
  }

  readonly now = (): number => Date.now() + this.#offsetMs;

  set(ms: number): void {
    this.#offsetMs = Math.round(ms) - Date.now();
  }
}

class Device {
  readonly #client: SyncClient;
  readonly #options: DeviceOptions;
  readonly #clock: DeviceClock;
  #stopMaking: () => void = () => undefined;

  constructor(client: SyncClient, options: DeviceOptions, clock: DeviceClock) {
    this.#client = client;
    this.#options = options;
    this.#clock = clock;
    client.on('progress', (progress) => say({ type: 'progress', at: preciseNow(), progress }));
    client.on('conflict', ({ collection, id }) =>
      say({ type: 'conflict', at: preciseNow(), key: `${collection}/${id}` }),
    );
    client.on('recovered', (event) => say({ type: 'recovered', at: preciseNow(), ...event }));
    client.on('degraded', ({ because, detail }) =>
      say({ type: 'degraded', at: preciseNow(), because, detail }),
    );
    client.on('rejected', ({ reason, detail }) =>
      this.#trouble(`an edit was rejected: ${reason}, ${detail}`),
    );
  }

  async obey(order: ToDevice): Promise<Answers[ToDevice['type']]> {
    switch (order.type) {
      case 'make':
        return this.#make(order);
      case 'stopMaking':
        this.#stopMaking();
        return null;
      case 'flush':
        return this.#client.flush({ signal: AbortSignal.timeout(order.withinMs) });
      case 'pull':
        return this.#client.pull({ signal: AbortSignal.timeout(order.withinMs) });
      case 'look':
        return this.#look(order.collections);
      case 'close':
        await this.#client.close();
        return null;
    }
  }

  async #make(order: MakeOrder): Promise<Answers['make']> {
    const startedAt = performance.now();
    const made =
      'atOnce' in order.how
        ? await this.#makeInGroups(order, order.how.atOnce)
        : await this.#makeAtPace(order, order.how.perSecond);
    return { ...made, elapsedMs: performance.now() - startedAt };
  }

  async #makeInGroups({ from, to, clock }: MakeOrder, atOnce: number) {
    let acknowledged = 0;
    let slowestMs = 0;
    let goesOn = true;
    this.#stopMaking = () => {
      goesOn = false;
    };
    for (let n = from; n <= to && goesOn; n += atOnce) {
      const last = Math.min(to, n + atOnce - 1);
      if (clock)
        this.#clock.set(clock.fromMs + ((clock.toMs - clock.fromMs) * (last - from + 1)) / (to - from + 1));
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: last - n + 1 }, (_, index) => this.#put(n + index)));
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      acknowledged += last - n + 1;
      say({ type: 'acknowledged', from: n, to: last, at: preciseNow() });
      // Messages from outside have their turn.
      await turn();
    }
    return { acknowledged, slowestMs };
  }

  #makeAtPace(
    { from, to }: MakeOrder,
    perSecond: number,
  ): Promise<{ acknowledged: number; slowestMs: number }> {
    let next = from;
    let acknowledged = 0;
    let slowestMs = 0;
    const underWay = new Set<Promise<void>>();
    const { promise, resolve, reject } = Promise.withResolvers<{ acknowledged: number; slowestMs: number }>();
    const stop = atPace(perSecond, () => {
      if (next > to) return this.#stopMaking();
      const n = next;
      next += 1;
      const startedAt = performance.now();
      const put = this.#put(n).then(() => {
        slowestMs = Math.max(slowestMs, performance.now() - startedAt);
        acknowledged += 1;
        say({ type: 'acknowledged', from: n, to: n, at: preciseNow() });
      });
      underWay.add(put);
      put.then(() => underWay.delete(put), reject);
    });
    this.#stopMaking = () => {
      stop();
      Promise.all(underWay).then(() => resolve({ acknowledged, slowestMs }), reject);
    };
    return promise;
  }

  async #put(n: number): Promise<void> {
    const { collection, id, payload } = editOf(this.#options.plan, n);
    await this.#client.put(collection, id, payload);
  }

  #look(collections: readonly string[]): Look {
    const { records } = this.#options.plan;
    const held: [string, Held][] = [];
    for (const collection of collections)
      for (let index = 0; index < records; index += 1) {
        const record = this.#client.get(collection, idOf(index));
        if (record === undefined) continue;
        const mark = markOf(record.payload);
        held.push([`${collection}/${idOf(index)}`, { version: record.version, ...(mark ? { mark } : {}) }]);
      }
    const quarantined = [...this.#client.quarantine()].flatMap(({ edit }) =>
      edit.kind === 'put' ? (markOf(edit.payload) ?? []) : [],
    );
    return { pending: this.#client.pending, quarantined, held, counts: this.#client.counts };
  }

  #trouble(what: string): void {
    say({ type: 'trouble', at: preciseNow(), what });
  }
}

async function run(options: DeviceOptions): Promise<void> {
  const { path, endpoints, token, clockMs, pullIntervalMs, fallback, silenceDetection } = options;
  const clock = new DeviceClock(clockMs);
  const startedAt = performance.now();
  const client = await openSyncClient({
    path,
    endpoints,
    token: async () => token,
    fallback,
    silenceDetection,
    now: clock.now,
    ...(pullIntervalMs === undefined ? {} : { pullIntervalMs }),
  });
  const device = new Device(client, options, clock);
  process.on('message', (order: ToDevice) => {
    device.obey(order).then(
      (answer) => say({ type: 'done', id: order.id, answer }),
      (error: unknown) => {
        say({ type: 'trouble', at: preciseNow(), what: `${order.type}: ${inWords(error)}` });
        say({ type: 'undone', id: order.id, why: inWords(error) });
      },
    );
  });
  say({ type: 'ready', recovered: client.recovered, openedInMs: performance.now() - startedAt });
}

// Ctrl-C reaches every process of the terminal; when the device ends is the drill's decision.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit());
await run(JSON.parse(process.argv[2] ?? '{}') as DeviceOptions);
