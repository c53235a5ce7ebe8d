// What a rehearsal says while data is damaged and put right: alarms as they fire and clear, what its functions measure,
// and the log lines that name damaged records.
import type { MetricName } from '../../../protocol/metrics.ts';
import type { MetricPoint } from '../../supervisor/messages.ts';
import type { RehearsalEvent, RehearsalState } from '../../supervisor/state.ts';
import type { StoredSystem } from '../system.ts';
import { type Fired, firedAlarm } from './alarms.ts';

export interface SeenPoint extends MetricPoint {
  readonly region: string;
}

export interface SeenAlarm {
  readonly at: number;
  readonly region: string;
  readonly name: string;
  readonly state: string;
}

/** What it needs of a system. */
export interface Watched extends Pick<StoredSystem, 'listen' | 'measured'> {
  state(): Pick<RehearsalState, 'alarms'>;
  readonly deployment: Pick<StoredSystem['deployment'], 'ofType'>;
}

export class StorageWatch {
  readonly points: SeenPoint[] = [];
  readonly alarms: SeenAlarm[] = [];
  readonly #named = new Map<string, number>();
  readonly #system: Watched;
  readonly #stops: readonly (() => void)[];

  /** Follows these metrics from now on. */
  constructor(system: Watched, metrics: readonly MetricName[]) {
    this.#system = system;
    const wanted = new Set<string>(metrics);
    this.#stops = [
      system.listen((event) => this.#hear(event)),
      system.measured((region, points) => {
        for (const point of points) if (wanted.has(point.name)) this.points.push({ ...point, region });
      }),
    ];
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  /** Items that the log says are damaged, with when it said so first: Unix ms. */
  get named(): ReadonlyMap<string, number> {
    return this.#named;
  }

  /** The first alarm of a name that fired since a moment, or was up already; undefined: none. */
  fired(name: string, sinceMs: number, region?: string): Fired | undefined {
    const states = this.#system
      .state()
      .alarms.filter((it) => it.name === name && (region === undefined || it.region === region));
    const [first] = this.alarms
      .filter((it) => it.state === 'ALARM' && it.name === name && it.at >= sinceMs)
      .filter((it) => region === undefined || it.region === region);
    const state = states.find((it) => it.region === first?.region);
    if (first === undefined || state === undefined) return undefined;
    return { ...firedAlarm(state, (type, of) => this.#system.deployment.ofType(type, of)), at: first.at };
  }

  /** The latest that was measured since a moment; what a function has just measured comes a little later. */
  latest(metric: MetricName, sinceMs: number, region: string): SeenPoint | undefined {
    return this.points.findLast(
      (it) => it.name === metric && it.region === region && it.timestampMs >= sinceMs,
    );
  }

  #hear(event: RehearsalEvent): void {
    if (event.type === 'alarm') this.alarms.push(event);
    if (event.type !== 'log' || !event.line.includes('"an item is damaged"')) return;
    const item = /"item":"([^"]+)"/.exec(event.line)?.[1];
    if (item !== undefined && !this.#named.has(item)) this.#named.set(item, event.at);
  }
}
