// The primary is cut off from the other regions while devices on both sides edit the same records: the cut-off side may
// take nothing, and when it heals everybody has to end in one state, with every conflict voted on and on record.
import { preciseNow } from '../../measuring.ts';
import { type CheckedHistory, checkHistory } from '../checker.ts';
import { type Line, seconds } from '../lines.ts';
import type { Outcome, Scenario } from '../scenario.ts';
import { auditTrails } from '../sync/audit-trail.ts';
import { settledAtOf, syncSection } from '../sync/chart.ts';
import type { DeviceProcess } from '../sync/device-process.ts';
import { idOf } from '../sync/edits.ts';
import { nameOf, type SyncHistory } from '../sync/history.ts';
import { sha256 } from '../sync/keep.ts';
import { atLeast, atMost, found, safetyLines, syncOutcome } from '../sync/measures.ts';
import { SyncDrill } from '../sync/sync-drill.ts';
import type { SyncedSystem } from '../system.ts';

export interface SplitPlan {
  /** Few, so that all edit the same ones. */
  readonly records: number;
  readonly textBytes: number;
  /** By each device. */
  readonly editsPerSecond: number;
  readonly pullEveryMs: number;
  readonly readsPerSecond: number;
  readonly warmUpMs: number;
  readonly cutMs: number;
  /** Editing goes on so long after the cut has healed. */
  readonly afterMs: number;
  readonly drainedWithinMs: number;
  readonly pulledWithinMs: number;
}

export const SPLIT_BRAIN: SplitPlan = {
  records: 100,
  textBytes: 40,
  editsPerSecond: 4,
  pullEveryMs: 2_000,
  readsPerSecond: 10,
  warmUpMs: 10_000,
  cutMs: 20_000,
  afterMs: 5_000,
  drainedWithinMs: 120_000,
  pulledWithinMs: 150_000,
};

const NAME = 'split-brain';
const COLLECTION = 'shared';
/** Which regions each device knows, by role. */
const DEVICES = {
  'primary-1': ['primary'],
  'primary-2': ['primary'],
  'standby-1': ['standby'],
  'standby-2': ['standby'],
  both: ['primary', 'standby'],
} as const;
const CUT_OFF = ['primary-1', 'primary-2'];
const MAJORITY = ['standby-1', 'standby-2'];

/** The drill with other sizes than its own. */
export function splitBrainOf(plan: SplitPlan): Scenario {
  return {
    name: NAME,
    title: 'The primary is cut off from the other regions, and clients on both sides edit the same records',
    about:
      'Two devices know only the primary, two only the standby, one knows both. While the primary reaches no other region it may take nothing: its devices queue, the others go on. Healed, every device has to hold the same state, with nothing acknowledged lost, nothing done twice, and every conflict voted on and in the audit trail.',
    run: (fresh, options) => SyncDrill.run(NAME, fresh, options, (drill) => new SplitRun(drill, plan).run()),
  };
}

export const splitBrain = splitBrainOf(SPLIT_BRAIN);

class SplitRun {
  readonly #drill: SyncDrill;
  readonly #plan: SplitPlan;
  readonly #system: SyncedSystem;

  constructor(drill: SyncDrill, plan: SplitPlan) {
    this.#drill = drill;
    this.#plan = plan;
    this.#system = drill.system;
  }

  async run(): Promise<Outcome> {
    const drill = this.#drill;
    const { warmUpMs, cutMs, afterMs, drainedWithinMs, pulledWithinMs, editsPerSecond } = this.#plan;
    const primary = drill.region('primary');
    const devices = await this.#devices();
    let turn = 0;
    drill.watch(this.#plan.readsPerSecond, () => {
      turn += 1;
      return `${COLLECTION}/${idOf(turn % this.#plan.records)}`;
    });

    drill.step(`${devices.length} devices edit the same ${this.#plan.records} records`);
    const how = { perSecond: editsPerSecond };
    const making = devices.map((device) =>
      device.order({ type: 'make', from: 1, to: Number.MAX_SAFE_INTEGER, how }),
    );
    for (const made of making) made.catch(() => undefined);
    await drill.pause(warmUpMs);
    // In the middle of its work: what it has under way then is the hard part.
    await drill.pushUnderWay(primary);
    drill.step(`${primary} is cut off from the other regions`);
    const heal = await drill.partition(primary);
    await drill.pause(cutMs);
    const waiting = {
      cutOff: this.#waiting(CUT_OFF),
      majority: this.#waiting(MAJORITY),
      both: this.#waiting(['both']),
    };
    drill.step(`healed; ${waiting.cutOff} operations wait on its devices`);
    await heal();
    const healedAt = preciseNow();
    await drill.pause(afterMs);
    await Promise.all(devices.map((device) => drill.orStopped(device.order({ type: 'stopMaking' }))));
    await Promise.all(making.map((made) => drill.tried(made)));

    drill.step('sending what waits');
    await drill.all(devices, (device) => device.order({ type: 'flush', withinMs: drainedWithinMs }));
    const drainedMs = preciseNow() - healedAt;
    drill.mark('all sent', 'good');
    drill.step('pulling, until every device has everything');
    await drill.all(devices, (device) => device.order({ type: 'pull', withinMs: pulledWithinMs }));
    const convergedMs = preciseNow() - healedAt;
    drill.mark('all pulled', 'good');
    for (const device of devices) await drill.look(device, [COLLECTION]);
    const endedAt = preciseNow();
    const history = await drill.history();

    const checked = checkHistory(history, sha256);
    drill.step('asking the API for the conflicts of every record');
    const shown = await drill.conflictsShown(drill.region('standby'), history.table.keys());
    const { entries } = auditTrails(history.log, sha256);
    const told = entries.filter(({ hash }) => shown.has(hash)).length;
    return syncOutcome({
      startedAt: drill.startedAt,
      column: `${primary} cut off`,
      lines: this.#lines(history, checked, { waiting, drainedMs, convergedMs, told }),
      checked,
      facts: { drainedMs, convergedMs, waiting, trouble: drill.trouble(Object.keys(DEVICES)).slice(0, 20) },
      section: (notes) =>
        syncSection(
          `${primary} is cut off for ${cutMs / 1_000} s`,
          {
            history,
            regions: [primary, drill.region('standby')],
            groups: [
              { text: 'devices that know only the primary', devices: CUT_OFF },
              { text: 'devices that know only the standby', devices: MAJORITY },
              { text: 'the device that knows both', devices: ['both'] },
            ],
            marks: drill.marks,
            startedAt: drill.startedAt,
            endedAt,
          },
          notes,
        ),
    });
  }

  #lines(
    history: SyncHistory,
    checked: CheckedHistory,
    measured: {
      readonly waiting: { readonly cutOff: number; readonly majority: number };
      readonly drainedMs: number;
      readonly convergedMs: number;
      /** Audit entries that the API shows. */
      readonly told: number;
    },
  ): readonly Line[] {
    const { waiting, drainedMs, convergedMs, told } = measured;
    const [cut] = history.cuts;
    const settledAt = settledAtOf(history.sent);
    const during = (names: readonly string[]) =>
      history.made.filter(
        ({ by, acknowledgedAt }) =>
          names.includes(by) &&
          acknowledgedAt !== undefined &&
          cut !== undefined &&
          acknowledgedAt >= cut.from &&
          acknowledgedAt < cut.to,
      );
    const slowest = during(['both']).reduce(
      (worst, edit) =>
        Math.max(
          worst,
          (settledAt.get(nameOf(edit)) ?? Number.POSITIVE_INFINITY) - (edit.acknowledgedAt ?? 0),
        ),
      0,
    );
    const superseded = new Set(
      history.sent.filter(({ answer }) => answer?.verdict === 'superseded').map(nameOf),
    ).size;
    const heard = Object.keys(DEVICES).reduce(
      (sum, name) => sum + this.#drill.events(name, 'conflict').length,
      0,
    );
    const trouble = this.#drill.trouble(Object.keys(DEVICES)).length;
    return [
      found(
        'settled by the cut-off region',
        ` of ${during(CUT_OFF).length} made there`,
        checked,
        'minority_accepted',
      ),
      {
        label: 'waiting on its devices when healed',
        text: String(waiting.cutOff),
        promise: atLeast(1, waiting.cutOff, 'operations'),
      },
      { label: 'waiting on the other side then', text: String(waiting.majority) },
      {
        label: 'slowest edit of the device with both regions, during the cut',
        text: Number.isFinite(slowest) ? seconds(slowest) : 'never settled',
      },
      { label: 'all sent after healing', text: seconds(drainedMs) },
      { label: 'all devices converged after healing', text: seconds(convergedMs) },
      ...safetyLines(checked),
      found(
        'records devices see otherwise in the end',
        ` of ${history.table.size}`,
        checked,
        'not_converged',
      ),
      found(
        'reads and writes no order explains',
        ` of ${checked.counts.reads} reads`,
        checked,
        'not_linearizable',
      ),
      {
        label: 'conflicts voted on, in the audit trail',
        text: String(checked.counts.audited),
        promise: atLeast(1, checked.counts.audited, 'entries'),
      },
      {
        label: 'of them shown by the API',
        text: `${told} of ${checked.counts.audited}`,
        promise: atLeast(checked.counts.audited, told, 'entries'),
      },
      {
        label: 'edits that lost a vote, told to their device',
        text: `${heard} of ${superseded}`,
        promise: atLeast(superseded, heard, 'edits'),
      },
      { label: 'errors the applications saw', text: String(trouble), promise: atMost(0, trouble, 'errors') },
    ];
  }

  #devices(): Promise<readonly DeviceProcess[]> {
    const { records, textBytes, pullEveryMs } = this.#plan;
    return Promise.all(
      Object.entries(DEVICES).map(([name, roles]) =>
        this.#drill.device({
          name,
          regions: roles.map((role) => this.#drill.region(role)),
          plan: { collection: COLLECTION, records, textBytes },
          pullIntervalMs: pullEveryMs,
        }),
      ),
    );
  }

  /** How many edits of some devices are durable there and not settled. */
  #waiting(names: readonly string[]): number {
    const settledAt = settledAtOf(this.#drill.sent);
    return names.reduce(
      (sum, name) => sum + this.#drill.made(name).filter((edit) => !settledAt.has(nameOf(edit))).length,
      0,
    );
  }
}
