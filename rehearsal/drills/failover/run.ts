// Runs a failover drill: load, fault, wait, revive, settle, read everything back; once per variant.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { preciseNow } from '../../measuring.ts';
import { Children } from '../../supervisor/children.ts';
import type { DrillOptions, TargetResult } from '../scenario.ts';
import { Stopping } from '../stopping.ts';
import { DrillError, type DrilledSystem } from '../system.ts';
import { type OperationEntry, readHistory } from './history.ts';
import { judge } from './judge.ts';
import { type MissingWrite, PROGRESS_EVERY_MS, type Progress } from './load-messages.ts';
import { LoadProcess } from './load-process.ts';
import { type Measurements, measure } from './measure.ts';
import { type FailoverOutcome, outcomeOf } from './outcome.ts';
import type { FailoverPlan, Variant } from './scenario.ts';

export interface VariantResult {
  readonly variant: Variant;
  readonly region: string;
  /** Unix ms. */
  readonly startedAt: number;
  readonly steadyFrom: number;
  readonly faultAt: number;
  readonly revivedAt: number;
  readonly endedAt: number;
  readonly measurements: Measurements;
  readonly missing: readonly MissingWrite[];
  readonly targets: readonly TargetResult[];
  readonly history: readonly OperationEntry[];
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
/** Detection of three good probes and propagation, after a revival, with room. */
const DNS_BACK_WITHIN_MS = 120_000;

/** @throws DrillError the drill could not be run as described, so that it says nothing about the system */
export async function runFailover(
  plan: FailoverPlan,
  system: DrilledSystem,
  options: DrillOptions,
): Promise<FailoverOutcome> {
  const children = new Children();
  const { historyFolder } = options;
  const folder = historyFolder ?? (await mkdtemp(join(tmpdir(), 'eden-field-drill-')));
  try {
    const variants: VariantResult[] = [];
    for (const [index, variant] of plan.variants.entries()) {
      const run = new VariantRun(plan, variant, system, options, index < plan.variants.length - 1);
      const historyFile = join(folder, `${plan.name}-${variant.name}.jsonl`);
      variants.push(await run.run(children, historyFile));
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
  readonly #othersFollow: boolean;
  readonly #stopping: Stopping;
  /** The reports of the last {@link STEADY_MS}. */
  readonly #reports: Progress[] = [];
  #dnsServedBy: string | undefined;

  constructor(
    plan: FailoverPlan,
    variant: Variant,
    system: DrilledSystem,
    options: DrillOptions,
    othersFollow: boolean,
  ) {
    this.#plan = plan;
    this.#variant = variant;
    this.#system = system;
    this.#options = options;
    this.#othersFollow = othersFollow;
    this.#stopping = new Stopping(system, options.signal);
    const region = system.regions.find(({ role }) => role === variant.role)?.region;
    if (region === undefined) throw new DrillError(`there is no ${variant.role} region to break`);
    this.#region = region;
  }

  async run(children: Children, historyFile: string): Promise<VariantResult> {
    const { warmUpMs, settleMs, limits } = this.#plan;
    const { seed, fallback = true, silenceDetection = true, config } = this.#options;
    const { dns } = this.#system;
    const startedAt = preciseNow();
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

    this.#step(`${this.#plan.load.requestsPerSecond} requests/s, warming up for ${warmUpMs / 1_000} s`);
    await this.#stopping.pause(warmUpMs);
    await this.#steady();
    const faultAt = await this.#breakRegion();
    await this.#restOfFault(faultAt, limits(config).dnsOutageMs);
    this.#step(`reviving ${this.#region}`);
    await this.#stopping.orStopped(this.#system.fault(this.#region, 'revive'));
    const revivedAt = preciseNow();
    await this.#stopping.pause(settleMs);
    this.#step('waiting for what is under way');
    await this.#stopping.orStopped(load.stop());
    const endedAt = preciseNow();
    this.#step('reading every acknowledged write from both regions');
    const { missing } = await this.#stopping.orStopped(load.readBack());
    await load.end();
    if (dns && this.#othersFollow) await this.#dnsBack(dns);

    const history = await readHistory(historyFile);
    const measurements = measure({
      history,
      steadyFrom: faultAt - MEASURED_MS,
      faultAt,
      region: this.#region,
      missing,
      dnsExpected: dns !== undefined,
    });
    return {
      variant: this.#variant,
      region: this.#region,
      startedAt,
      steadyFrom: faultAt - MEASURED_MS,
      faultAt,
      revivedAt,
      endedAt,
      measurements,
      missing,
      targets: judge(this.#variant.name, measurements, limits(config)),
      history,
    };
  }

  #breakRegion(): Promise<number> {
    const { fault, name } = this.#variant;
    this.#step(`${name}: ${this.#region} is ${fault === 'kill' ? 'killed' : 'frozen'}`);
    this.#dnsServedBy = undefined;
    return this.#stopping.orStopped(this.#system.fault(this.#region, fault));
  }

  /** At least the fault's own time; and until the DNS-only client is served again, or far too late. */
  async #restOfFault(faultAt: number, dnsOutageMs: number | undefined): Promise<void> {
    await this.#stopping.pause(this.#plan.faultMsMin);
    if (this.#system.dns === undefined || dnsOutageMs === undefined) return;
    this.#step('waiting for the DNS-only client to be served again');
    const giveUpAt = faultAt + dnsOutageMs + DNS_GRACE_MS;
    const servedElsewhere = () => this.#dnsServedBy !== undefined && this.#dnsServedBy !== this.#region;
    while (!servedElsewhere() && preciseNow() < giveUpAt) await this.#stopping.pause(100);
  }

  /** The next variant breaks the same region: DNS has to lead there again first. */
  async #dnsBack({ name, resolver }: NonNullable<DrilledSystem['dns']>): Promise<void> {
    this.#step(`waiting for DNS to lead to ${this.#region} again`);
    const giveUpAt = preciseNow() + DNS_BACK_WITHIN_MS;
    for (;;) {
      const answer = await fetch(`${resolver}/resolve?name=${encodeURIComponent(name)}&type=A`);
      const { region } = (await answer.json()) as { region?: string };
      if (region === this.#region) return;
      if (preciseNow() > giveUpAt)
        throw new DrillError(
          `${name} still leads to ${region} ${DNS_BACK_WITHIN_MS / 1_000} s after the revival`,
        );
      await this.#stopping.pause(500);
    }
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
