// A device without a network for days: 100,000 edits on its own disk, killed once, and in the end the primary is dead and
// only the standby takes what waited.
import { preciseNow } from '../../measuring.ts';
import { checkHistory } from '../checker.ts';
import { type Line, milliseconds, seconds } from '../lines.ts';
import type { Outcome, Scenario } from '../scenario.ts';
import { syncSection } from '../sync/chart.ts';
import type { DeviceProcess } from '../sync/device-process.ts';
import { sha256 } from '../sync/keep.ts';
import { atLeast, atMost, found, safetyLines, syncOutcome } from '../sync/measures.ts';
import { SyncDrill } from '../sync/sync-drill.ts';
import type { SyncedSystem } from '../system.ts';

export interface OfflinePlan {
  readonly edits: number;
  readonly records: number;
  /** Share of the edits after which the device is killed. */
  readonly killedAfter: number;
  /** How long it is without a network, on its own clock. */
  readonly offlineMs: number;
  /** Edits made in one turn: they share a commit. */
  readonly atOnce: number;
  readonly textBytes: number;
}

export const OFFLINE_DAYS: OfflinePlan = {
  edits: 100_000,
  records: 10_000,
  killedAfter: 0.5,
  offlineMs: 3 * 86_400_000,
  atOnce: 500,
  textBytes: 60,
};

/** What the client library allows itself. */
const COPIES_PER_OPERATION_MAX = 1.1;
const PULL_WITHIN_MS = 120_000;
const NEWS_EVERY_MS = 5_000;
/** Nothing was delivered for so long: it never will be. */
const STALLED_MS = 60_000;
const NAME = 'offline-days';
const DEVICE = 'field';
const SECOND_DEVICE = 'office';
const COLLECTION = 'notes';

/** The drill with other sizes than its own. */
export function offlineDaysOf(plan: OfflinePlan): Scenario {
  return {
    name: NAME,
    title: 'A device comes back after days without a network, to the standby',
    about: `A device makes ${plan.edits} edits to ${plan.records} records without a network, while its clock goes through ${plan.offlineMs / 86_400_000} days, and is killed half-way. When it finds a network again, the primary is dead. Everything it was told is durable has to arrive in the standby, once, and a second device has to see the same state.`,
    run: (fresh, options) =>
      SyncDrill.run(NAME, fresh, options, (drill) => new OfflineRun(drill, plan).run()),
  };
}

export const offlineDays = offlineDaysOf(OFFLINE_DAYS);

class OfflineRun {
  readonly #drill: SyncDrill;
  readonly #plan: OfflinePlan;
  readonly #system: SyncedSystem;

  constructor(drill: SyncDrill, plan: OfflinePlan) {
    this.#drill = drill;
    this.#plan = plan;
    this.#system = drill.system;
  }

  async run(): Promise<Outcome> {
    const drill = this.#drill;
    const primary = drill.region('primary');
    const standby = drill.region('standby');
    for (const { region } of this.#system.regions) this.#system.way(region, { cut: true });
    const offline = await this.#offline();
    const { device } = offline;

    drill.step(`${primary} is killed; the network is back`);
    await drill.orStopped(this.#system.fault(primary, 'kill'));
    for (const { region } of this.#system.regions) this.#system.way(region, 'usual');
    const backAt = preciseNow();
    drill.mark('network back, primary dead', 'fault', backAt);
    await this.#delivered(device);
    const deliveredMs = preciseNow() - backAt;
    drill.mark('all delivered', 'good');

    drill.step('a second device pulls everything');
    const second = await drill.device({
      name: SECOND_DEVICE,
      regions: [standby],
      plan: this.#edits,
    });
    const pulled = await drill.tried(second.order({ type: 'pull', withinMs: PULL_WITHIN_MS }));
    await drill.look(device, [COLLECTION]);
    await drill.look(second, [COLLECTION]);
    const endedAt = preciseNow();
    const history = await drill.history();
    drill.step(`reviving ${primary}`);
    await drill.orStopped(this.#system.fault(primary, 'revive'));

    const checked = checkHistory(history, sha256);
    const trouble = drill.trouble([DEVICE, SECOND_DEVICE]);
    const { acknowledged, copiesPerOperation } = checked.counts;
    const fromStandby = history.sent.filter(
      ({ region, answer }) => region === standby && answer?.verdict === 'applied',
    );
    const lines: readonly Line[] = [
      {
        label: 'edits made without a network',
        text: `${acknowledged} in ${seconds(offline.elapsedMs)}`,
        promise: atLeast(this.#plan.edits, acknowledged, 'operations'),
      },
      {
        label: 'recovered after SIGKILL',
        text: `${offline.recovered} of ${offline.acknowledgedBefore} acknowledged, in ${milliseconds(offline.openedInMs)}`,
        promise: atLeast(offline.acknowledgedBefore, offline.recovered, 'operations'),
      },
      {
        label: 'delivered to the standby',
        text: `${fromStandby.length} in ${seconds(deliveredMs)}, ${Math.round((fromStandby.length * 1_000) / deliveredMs)}/s`,
      },
      {
        label: 'progress reports',
        text: String(drill.events(DEVICE, 'progress').length),
        promise: atLeast(1, drill.events(DEVICE, 'progress').length, 'reports'),
      },
      ...safetyLines(checked),
      found('records a second device sees otherwise', ` of ${history.table.size}`, checked, 'not_converged'),
      {
        label: 'copies per operation',
        text: copiesPerOperation.toFixed(3),
        promise: atMost(COPIES_PER_OPERATION_MAX, copiesPerOperation, 'copies'),
      },
      {
        label: 'errors the application saw',
        text: String(trouble.length),
        promise: atMost(0, trouble.length, 'errors'),
      },
    ];
    return syncOutcome({
      startedAt: drill.startedAt,
      column: 'offline for days',
      lines,
      checked,
      facts: {
        deliveredMs,
        recovered: offline.recovered,
        pulled,
        trouble: trouble.slice(0, 20),
      },
      section: (notes) =>
        syncSection(
          `${this.#plan.edits} edits without a network, then to ${standby}`,
          {
            history,
            regions: [primary, standby],
            groups: [{ text: 'the device', devices: [DEVICE] }],
            marks: drill.marks,
            startedAt: drill.startedAt,
            endedAt,
          },
          notes,
        ),
    });
  }

  get #edits() {
    const { records, textBytes } = this.#plan;
    return { collection: COLLECTION, records, textBytes };
  }

  /** Makes all edits, with a SIGKILL in between; the device is open again then, and everything waits. */
  async #offline() {
    const drill = this.#drill;
    const { edits, killedAfter, offlineMs, atOnce } = this.#plan;
    const both = [drill.region('primary'), drill.region('standby')];
    const wishes = { name: DEVICE, regions: both, plan: this.#edits };
    const toMs = Date.now();
    const fromMs = toMs - offlineMs;
    const half = Math.round(edits * killedAfter);
    const middleMs = fromMs + offlineMs * killedAfter;
    const how = { atOnce };

    drill.step(`${edits} edits without a network`);
    const startedAt = preciseNow();
    const first = await drill.device({ ...wishes, clockMs: fromMs });
    // It is killed long before it could make them all.
    const making = first.order({
      type: 'make',
      from: 1,
      to: edits,
      how,
      clock: { fromMs, toMs },
    });
    making.catch(() => undefined);
    await drill.until(() => drill.made(DEVICE).length >= half);
    await drill.orStopped(first.kill());
    drill.mark('SIGKILL', 'fault');
    const acknowledgedBefore = drill.made(DEVICE).length;
    drill.step(`killed after ${acknowledgedBefore} edits; opening its file again`);

    const device = await drill.device({ ...wishes, clockMs: middleMs });
    const { recovered, openedInMs } = device;
    drill.step(`recovered ${recovered} operations in ${milliseconds(openedInMs)}`);
    // What was under way when it died may be in the file or not: no number it could have used is used again.
    const from = edits + 1;
    const to = from + edits - acknowledgedBefore - 1;
    await drill.orStopped(
      device.order({ type: 'make', from, to, how, clock: { fromMs: middleMs, toMs: Date.now() } }),
    );
    return { device, acknowledgedBefore, recovered, openedInMs, elapsedMs: preciseNow() - startedAt };
  }

  /** Flushes until nothing waits, or until nothing moves any more. */
  async #delivered(device: DeviceProcess): Promise<void> {
    const drill = this.#drill;
    const news = setInterval(() => this.#tellProgress(), NEWS_EVERY_MS);
    try {
      for (;;) {
        const verdicts = await drill.tried(device.order({ type: 'flush', withinMs: STALLED_MS }));
        const { pending } = await drill.orStopped(device.order({ type: 'look', collections: [] }));
        if (pending === 0) return;
        const settled =
          verdicts === undefined ? 0 : verdicts.applied + verdicts.duplicate + verdicts.superseded;
        if (settled > 0) continue;
        drill.step(`nothing was delivered for ${STALLED_MS / 1_000} s, and ${pending} operations wait`);
        return;
      }
    } finally {
      clearInterval(news);
    }
  }

  #tellProgress(): void {
    const latest = this.#drill.events(DEVICE, 'progress').at(-1)?.progress;
    if (latest === undefined) return;
    const { settled, pending, settledPerSecond } = latest;
    this.#drill.step(`${settled} delivered, ${pending} to go, ${Math.round(settledPerSecond)} a second`);
  }
}
