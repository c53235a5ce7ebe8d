// Runs a failover drill: load, whatever the plan does to the system, settling, everything read back; once per variant,
// each on a system of its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dnsFailoverMs } from '../../../config/recovery.ts';
import { preciseNow } from '../../measuring.ts';
import { Children } from '../../supervisor/children.ts';
import { judged } from '../lines.ts';
import type { DrillOptions, Row, TargetResult } from '../scenario.ts';
import { Stopping } from '../stopping.ts';
import type { Marker } from '../svg.ts';
import { DrillError, type DrilledSystem, type FreshSystem } from '../system.ts';
import { Acting } from './acting.ts';
import { type OperationEntry, readHistory } from './history.ts';
import { judge } from './judge.ts';
import { type MissingWrite, PROGRESS_EVERY_MS, type Progress } from './load-messages.ts';
import { LoadProcess } from './load-process.ts';
import { type Measurements, measure } from './measure.ts';
import { type FailoverOutcome, outcomeOf } from './outcome.ts';
import type { FailoverPlan, Variant } from './scenario.ts';
import type { Look, Seen } from './seen.ts';
import { Watch } from './watch.ts';

export interface VariantResult {
  readonly variant: Variant;
  readonly region: string;
  /** Unix ms. */
  readonly startedAt: number;
  readonly steadyFrom: number;
  readonly faultAt: number;
  readonly revivedAt?: number;
  readonly endedAt: number;
  readonly measurements: Measurements;
  readonly missing: readonly MissingWrite[];
  readonly targets: readonly TargetResult[];
  /** What is said of what was seen, one cell each. */
  readonly rows: readonly Row[];
  readonly marks: readonly Marker[];
  readonly history: readonly OperationEntry[];
  readonly looks: readonly Look[];
  readonly changes: Seen['changes'];
  readonly orders: Seen['orders'];
  readonly notes: readonly string[];
}

/** Before a fault the load runs steadily: for this long every report is quick and comes from the region to be broken,
 * or nothing could be seen to move. A machine too busy for that is waited for, then measured as it is. */
const STEADY_MS = 3_000;
/** What the steady state is measured over: long enough for the retry budget to mean something. */
const MEASURED_MS = 10_000;
const STEADY_P95_MS = 100;
const CARRIED_SHARE = 0.9;
const STEADY_WITHIN_MS = 60_000;
/** Beyond its limit DNS is waited for a little longer, so that the table says how late it was. */
const DNS_GRACE_MS = 30_000;

/** @throws DrillError the drill could not be run as described, so that it says nothing about the system */
export async function runFailover(
  plan: FailoverPlan,
  fresh: FreshSystem<DrilledSystem>,
  options: DrillOptions,
): Promise<FailoverOutcome> {
  const children = new Children();
  const { historyFolder } = options;
  const folder = historyFolder ?? (await mkdtemp(join(tmpdir(), 'eden-field-drill-')));
  try {
    const variants: VariantResult[] = [];
    for (const variant of plan.variants) {
      if (options.variant !== undefined && variant.name !== options.variant) continue;
      const run = new VariantRun(plan, variant, await fresh(), options);
      variants.push(await run.run(children, join(folder, `${plan.name}-${variant.name}.jsonl`)));
    }
    return outcomeOf(variants);
  } finally {
    await children.endAll();
    if (historyFolder === undefined) await rm(folder, { recursive: true, force: true });
  }
}

class VariantRun {
  readonly #plan: FailoverPlan;
  readonly #variant: Variant;
  readonly #system: DrilledSystem;
  readonly #options: DrillOptions;
  readonly #region: string;
  readonly #stopping: Stopping;
  /** The reports of the last {@link STEADY_MS}. */
  readonly #reports: Progress[] = [];
  #dnsServedBy: string | undefined;

  constructor(plan: FailoverPlan, variant: Variant, system: DrilledSystem, options: DrillOptions) {
    this.#plan = plan;
    this.#variant = variant;
    this.#system = system;
    this.#options = options;
    this.#stopping = new Stopping(system, options.signal);
    const region = system.regions.find(({ role }) => role === variant.role)?.region;
    if (region === undefined) throw new DrillError(`there is no ${variant.role} region to break`);
    this.#region = region;
  }

  async run(children: Children, historyFile: string): Promise<VariantResult> {
    const { warmUpMs, settleMs, load: profile } = this.#plan;
    const startedAt = preciseNow();
    const load = await this.#startLoad(children, historyFile);
    this.#step(`${profile.requestsPerSecond} requests/s, warming up for ${warmUpMs / 1_000} s`);
    await this.#stopping.pause(warmUpMs);
    await this.#steady();
    const watch = this.#follow && new Watch(this.#system);
    try {
      const acting = this.#acting(watch);
      await this.#variant.act(acting);
      await this.#stopping.pause(settleMs);
      this.#step('waiting for what is under way');
      await this.#stopping.orStopped(load.stop());
      const endedAt = preciseNow();
      this.#step('reading every acknowledged write from both regions');
      const { missing } = await this.#stopping.orStopped(load.readBack());
      await load.end();
      const history = await readHistory(historyFile);
      return await this.#result({ acting, startedAt, endedAt, history, missing, looks: watch?.looks ?? [] });
    } finally {
      await watch?.stop();
    }
  }

  async #startLoad(children: Children, historyFile: string): Promise<LoadProcess> {
    const { seed, fallback = true, silenceDetection = true } = this.#options;
    const { dns } = this.#system;
    const load = await LoadProcess.start(children, {
      endpoints: this.#system.regions.map(({ region, endpoint }) => ({ region, url: endpoint })),
      token: await this.#system.token(),
      profile: this.#plan.load,
      seed,
      historyFile,
      fallback,
      silenceDetection,
      ...(dns ? { dns } : {}),
    });
    this.#stopping.alsoOn(load.failed);
    load.listen((progress) => this.#hear(progress));
    return load;
  }

  #acting(watch: Watch | undefined): Acting {
    const { config } = this.#options;
    const { dnsOutageMs } = this.#limits(config);
    return new Acting({
      config,
      system: this.#system,
      stopping: this.#stopping,
      watch,
      dnsServedBy: () => this.#dnsServedBy,
      dnsWithinMs: this.#system.dns && (dnsOutageMs ?? dnsFailoverMs(config)) + DNS_GRACE_MS,
      signal: this.#options.signal,
      step: (text) => this.#step(text),
    });
  }

  async #result(parts: {
    readonly acting: Acting;
    readonly startedAt: number;
    readonly endedAt: number;
    readonly history: readonly OperationEntry[];
    readonly missing: readonly MissingWrite[];
    readonly looks: readonly Look[];
  }): Promise<VariantResult> {
    const { acting, startedAt, endedAt, history, missing, looks } = parts;
    const { name } = this.#variant;
    const { leaves, notes = [] } = this.#plan;
    const follow = this.#follow;
    const { config } = this.#options;
    const { faultAt } = acting;
    if (faultAt === undefined) throw new DrillError(`${name} did nothing to the system`);
    const steadyFrom = faultAt - MEASURED_MS;
    const dnsExpected = this.#system.dns !== undefined;
    const region = this.#region;
    const measurements = measure({ history, steadyFrom, faultAt, region, missing, leaves, dnsExpected });
    const seen: Seen = {
      ...acting.seen,
      region: this.#region,
      other: this.#system.regions.find(({ region }) => region !== this.#region)?.region ?? '',
      observers: this.#system.observers,
      faultAt,
      endedAt,
      history,
      looks,
      changes: follow ? await this.#changes() : [],
    };
    const said = judged(follow?.(seen, config) ?? []);
    return {
      variant: this.#variant,
      region: this.#region,
      startedAt,
      steadyFrom,
      faultAt,
      ...(seen.revivedAt === undefined ? {} : { revivedAt: seen.revivedAt }),
      endedAt,
      measurements,
      missing,
      targets: [
        ...judge(name, measurements, this.#limits(config)),
        ...said.targets.map((target) => ({ ...target, name: `${name}: ${target.name}` })),
      ],
      rows: said.rows,
      marks: acting.marks,
      history,
      looks,
      changes: seen.changes,
      orders: seen.orders,
      notes,
    };
  }

  get #limits(): FailoverPlan['limits'] {
    return this.#variant.limits ?? this.#plan.limits;
  }

  get #follow(): FailoverPlan['follow'] {
    return this.#variant.follow ?? this.#plan.follow;
  }

  /** The oldest first. */
  async #changes(): Promise<Seen['changes']> {
    const state = await this.#stopping.orStopped(this.#system.routing());
    return state === undefined ? [] : [...state.changes].reverse();
  }

  #hear(progress: Progress): void {
    this.#reports.push(progress);
    if (this.#reports.length > STEADY_MS / PROGRESS_EVERY_MS) this.#reports.shift();
    if (progress.dnsServedBy !== undefined) this.#dnsServedBy = progress.dnsServedBy;
  }

  async #steady(): Promise<void> {
    const giveUpAt = preciseNow() + STEADY_WITHIN_MS;
    const carries = () => this.#reports.every((report) => carriedBy(this.#region, report) >= CARRIED_SHARE);
    const quick = () => this.#reports.every(({ latencyMsP95 }) => latencyMsP95 <= STEADY_P95_MS);
    while (!(carries() && quick()) && preciseNow() < giveUpAt) await this.#stopping.pause(PROGRESS_EVERY_MS);
    const latest = JSON.stringify(this.#reports.at(-1));
    if (!carries())
      throw new DrillError(
        `${this.#region} did not carry the load within ${STEADY_WITHIN_MS / 1_000} s; last report: ${latest}`,
      );
    if (!quick()) this.#step(`the load never became steady: is the machine busy? Last report: ${latest}`);
  }

  #step(step: string): void {
    this.#options.onStep?.(step);
  }
}

function carriedBy(region: string, { succeeded, failed }: Progress): number {
  const all = failed + Object.values(succeeded).reduce((sum, count) => sum + count, 0);
  return all === 0 ? 0 : (succeeded[region] ?? 0) / all;
}
