// A line of 10 Mbit/s with half a second there and back: everything has to succeed, and no application may notice more
// than that it takes its time.
import { percentile, preciseNow } from '../../measuring.ts';
import { checkHistory } from '../checker.ts';
import { type Line, milliseconds } from '../lines.ts';
import type { Outcome, Scenario } from '../scenario.ts';
import { settledAtOf, syncSection } from '../sync/chart.ts';
import type { DeviceProcess } from '../sync/device-process.ts';
import { nameOf } from '../sync/history.ts';
import { sha256 } from '../sync/keep.ts';
import { atMost, found, safetyLines, syncOutcome } from '../sync/measures.ts';
import { SyncDrill } from '../sync/sync-drill.ts';

export interface SlowPlan {
  readonly roundTripMs: number;
  readonly bitsPerSecond: number;
  readonly records: number;
  readonly textBytes: number;
  /** By each device. */
  readonly editsPerSecond: number;
  readonly lastsMs: number;
  readonly pullEveryMs: number;
  readonly withinMs: number;
}

export const SLOW_NETWORK: SlowPlan = {
  roundTripMs: 500,
  bitsPerSecond: 10_000_000,
  records: 200,
  textBytes: 12_000,
  editsPerSecond: 15,
  lastsMs: 25_000,
  pullEveryMs: 5_000,
  withinMs: 120_000,
};

const NAME = 'slow-network';
const DEVICES = ['van', 'truck'];

/** The drill with other sizes than its own. */
export function slowNetworkOf(plan: SlowPlan): Scenario {
  return {
    name: NAME,
    title: 'A line of 10 Mbit/s with half a second there and back',
    about: `Devices write 12 kB edits and pull each other's over a line of ${plan.bitsPerSecond / 1e6} Mbit/s with ${plan.roundTripMs} ms there and back. All of it has to succeed, and no request may go without its answer.`,
    run: (fresh, options) => SyncDrill.run(NAME, fresh, options, (drill) => new SlowRun(drill, plan).run()),
  };
}

export const slowNetwork = slowNetworkOf(SLOW_NETWORK);

class SlowRun {
  readonly #drill: SyncDrill;
  readonly #plan: SlowPlan;

  constructor(drill: SyncDrill, plan: SlowPlan) {
    this.#drill = drill;
    this.#plan = plan;
  }

  async run(): Promise<Outcome> {
    const drill = this.#drill;
    const { roundTripMs, bitsPerSecond, editsPerSecond, lastsMs, pullEveryMs, withinMs } = this.#plan;
    const regions = [drill.region('primary'), drill.region('standby')];
    drill.step('waiting until pulls are answered');
    await drill.feedSteady(regions);
    drill.step(`${bitsPerSecond / 1e6} Mbit/s, ${roundTripMs} ms there and back`);
    for (const region of regions)
      drill.system.way(region, { delayMs: roundTripMs / 2, bytesPerSecond: bitsPerSecond / 8 });

    const startedAt = preciseNow();
    const devices = await Promise.all(DEVICES.map((name) => this.#device(name, regions)));
    const how = { perSecond: editsPerSecond };
    const making = devices.map((device) =>
      device.order({ type: 'make', from: 1, to: Number.MAX_SAFE_INTEGER, how }),
    );
    for (const made of making) made.catch(() => undefined);
    const pulls = { made: 0, changes: 0 };
    while (preciseNow() < startedAt + lastsMs) {
      await drill.pause(pullEveryMs);
      await this.#pull(devices, pulls);
    }
    await drill.all(devices, (device) => device.order({ type: 'stopMaking' }));
    const made = (await Promise.all(making.map((each) => drill.tried(each)))).flatMap((each) => each ?? []);
    drill.step('sending what waits, pulling the rest');
    await drill.all(devices, (device) => device.order({ type: 'flush', withinMs }));
    await this.#pull(devices, pulls);
    drill.mark('all sent and pulled', 'good');
    const looks = await Promise.all(devices.map((device) => drill.look(device, DEVICES)));
    const endedAt = preciseNow();
    const history = await drill.history();

    const checked = checkHistory(history, sha256);
    const { acknowledged, copiesPerOperation } = checked.counts;
    // Of a hedged push the copy that came second answers `duplicate`, and may be the one that is heard.
    const succeeded = new Set(
      history.sent
        .filter(({ answer }) => answer?.verdict === 'applied' || answer?.verdict === 'duplicate')
        .map(nameOf),
    );
    const failed = history.made.filter((edit) => !succeeded.has(nameOf(edit))).length;
    const settledAt = settledAtOf(history.sent);
    const delays = history.made.flatMap((edit) => {
      const settled = settledAt.get(nameOf(edit));
      return settled === undefined ? [] : [settled - (edit.acknowledgedAt ?? settled)];
    });
    const unanswered = DEVICES.flatMap((name) =>
      drill.events(name, 'degraded').filter(({ because }) => because === 'unanswered'),
    );
    const trouble = drill.trouble(DEVICES);
    const requests = looks.reduce((sum, { counts }) => sum + counts.requests.operations, 0);
    const attempts = looks.reduce((sum, { counts }) => sum + counts.requests.attempts, 0);
    const slowestPut = Math.max(...made.map(({ slowestMs }) => slowestMs));
    const lines: readonly Line[] = [
      {
        label: 'operations without success',
        text: `${failed} of ${acknowledged}`,
        promise: atMost(0, failed, 'operations'),
      },
      {
        label: 'errors the applications saw',
        text: String(trouble.length),
        promise: atMost(0, trouble.length, 'errors'),
      },
      {
        label: 'requests without an answer',
        text: String(unanswered.length),
        promise: atMost(0, unanswered.length, 'requests'),
      },
      {
        // Few batches, each of a second and more: one hedge is a tenth of them. The promise is about the steady state.
        label: 'copies per operation',
        text: copiesPerOperation.toFixed(3),
      },
      { label: 'attempts per request, pulls included', text: (attempts / requests).toFixed(3) },
      ...safetyLines(checked),
      found(
        'records devices see otherwise in the end',
        ` of ${history.table.size}`,
        checked,
        'not_converged',
      ),
      { label: 'slowest put', text: milliseconds(slowestPut) },
      {
        label: 'from put to verdict, median and worst',
        text: `${milliseconds(percentile(delays, 0.5))}, ${milliseconds(Math.max(...delays))}`,
      },
      { label: 'pulls, and changes they brought', text: `${pulls.made}, ${pulls.changes}` },
    ];
    return syncOutcome({
      startedAt: drill.startedAt,
      column: `${bitsPerSecond / 1e6} Mbit/s, ${roundTripMs} ms`,
      lines,
      checked,
      facts: {
        slowestPutMs: slowestPut,
        pulls,
        trouble: trouble.slice(0, 20),
        unanswered: unanswered.slice(0, 20),
      },
      section: (notes) =>
        syncSection(
          `${bitsPerSecond / 1e6} Mbit/s, ${roundTripMs} ms there and back`,
          {
            history,
            regions,
            groups: DEVICES.map((text) => ({ text, devices: [text] })),
            marks: drill.marks,
            startedAt,
            endedAt,
          },
          notes,
        ),
    });
  }

  #device(name: string, regions: readonly string[]): Promise<DeviceProcess> {
    const { records, textBytes } = this.#plan;
    return this.#drill.device({ name, regions, plan: { collection: name, records, textBytes } });
  }

  async #pull(devices: readonly DeviceProcess[], pulls: { made: number; changes: number }): Promise<void> {
    await this.#drill.all(devices, async (device) => {
      const { applied } = await device.order({ type: 'pull', withinMs: this.#plan.withinMs });
      pulls.made += 1;
      pulls.changes += applied;
    });
  }
}
