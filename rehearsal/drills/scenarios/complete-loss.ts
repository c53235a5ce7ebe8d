// Every replica is emptied at once while everybody works: the backups, the journals and what clients keep have to bring all
// of it back within the hour. Meanwhile one client's queue file is rolled back to a copy, and another copy of it is opened
// beside it.
import { RECOVERY_MS_MAX } from '../../../config/promises.ts';
import { preciseNow } from '../../measuring.ts';
import { bareLoss } from '../backups/bare-loss.ts';
import { lineageOf } from '../backups/lineage.ts';
import { lossLines } from '../backups/loss-lines.ts';
import { backupOutcome } from '../backups/outcome.ts';
import { copyQueueFile } from '../backups/queue-copies.ts';
import { journalsReach, loadPace, stepAt } from '../backups/restore-said.ts';
import { type BackupScene, onProvenSystem } from '../backups/scene.ts';
import { checkHistory } from '../checker.ts';
import type { DrillOptions, Outcome, Scenario } from '../scenario.ts';
import type { Made, Sent, SyncHistory } from '../sync/history.ts';
import { nameOf } from '../sync/history.ts';
import { sha256 } from '../sync/keep.ts';

const NAME = 'complete-loss';
/** The client whose file is copied, and the process that opens another copy of it. */
const COPIED = 'copied';
const TWIN = 'twin';
/** Its edits before it is copied, and after that before the loss. */
const COPIED_AFTER_MS = 10_000;
const LOST_AFTER_MS = 15_000;
/** Until the first call is refused, as whoever restores would see it: functions look at the generation every 5 s. */
const NOTICED_WITHIN_MS = 20_000;
/** Numbers of the edits after it was rolled back: it may have used any below. */
const ROLLED_FROM = 2_000_001;
const SERVED_WITHIN_MS = 120_000;
const SETTLE_MS = 15_000;

export const completeLoss: Scenario = {
  name: NAME,
  title: 'Every replica loses everything, while everybody works',
  about:
    'All items of the table are gone in all three Regions at once, the table’s own control items too. npm run restore -- --all has to bring back what the last verified backup and the journals have, closed meanwhile, and to open under a higher restore epoch, on which clients send again what they keep. No acknowledged sync operation may be missing or take effect twice, also not by a client whose queue file was rolled back, nor by a copy of that file; of bare calls no more may be lost than the journals were behind.',
  run: (fresh, options) =>
    onProvenSystem(NAME, fresh, { ...options, metrics: [] }, (scene) => new Loss(scene, options).run()),
};

class Loss {
  readonly #scene: BackupScene;
  readonly #options: DrillOptions;

  constructor(scene: BackupScene, options: DrillOptions) {
    this.#scene = scene;
    this.#options = options;
  }

  async run(): Promise<Outcome> {
    const { drill, work, replicas, proven, system } = this.#scene;
    const copiedAt = await this.#copyOf();
    const epochBefore = await drill.orStopped(replicas.restoreEpoch());
    await drill.pause(LOST_AFTER_MS);
    drill.step('every replica loses everything');
    const lostAt = await drill.orStopped(system.wipe());
    drill.mark('everything lost', 'fault', lostAt);
    await this.#scene.within(NOTICED_WITHIN_MS, () =>
      work.bare.calls.some(({ ok, startedAt, kind }) => !ok && kind === 'put' && startedAt > lostAt),
    );

    const [restore, rolledAt] = await Promise.all([
      this.#scene.restore(['--all', '--reason', 'drill: every replica emptied']),
      this.#rollBack(),
    ]);
    const openedAt = stepAt(restore, 'open') ?? null;
    if (openedAt !== null) drill.mark('open again', 'good', openedAt);
    const servedPut = () =>
      work.bare.calls.find(
        ({ ok, kind, startedAt }) => ok && kind === 'put' && startedAt >= restore.startedAt,
      );
    await this.#scene.within(SERVED_WITHIN_MS, () => servedPut() !== undefined);
    const servedAt = servedPut()?.endedAt ?? null;
    const isRestored = restore.ending === 'restored';
    if (isRestored) await drill.pause(SETTLE_MS);
    drill.step('nothing more is made; waiting until nothing waits');
    const drainedAt = await work.drained();
    if (drainedAt !== null) drill.mark('all sent', 'good', drainedAt);
    const there = await work.readBack();
    drill.step('pulling, until every device has everything');
    if (isRestored) await work.look();
    const endedAt = preciseNow();
    const history = await drill.history();
    drill.step('reading the whole table');
    const table = await drill.orStopped(replicas.facts(proven.planting));

    const judged = this.#judged(history, { lostAt, openedAt, copiedAt });
    const pace = loadPace(restore);
    const reach = [...journalsReach(restore).values()];
    const bare = bareLoss(work.bare.stored, (key) => there.has(key), lostAt);
    const lines = lossLines(
      {
        ...{ lostAt, restore, openedAt, servedAt, drainedAt },
        planted: proven.planting.records,
        plantedThere: table.planted,
        ...{ epochBefore, epochAfter: this.#span().epochAfter },
        generations: drill.generations.map(({ status }) => status),
        bare,
        journalsTo: reach.length === 0 ? null : Math.max(...reach),
        replayed: this.#replayed(),
        ...this.#repeated(history.sent, copiedAt, rolledAt),
        forgotten: judged.forgotten.length,
        forgottenLost: judged.forgottenLost,
        checked: judged.checked,
        measured: pace && { itemsPerS: pace.itemsPerS, bytesPerItem: table.bytesPerItem },
      },
      { recoveryMs: RECOVERY_MS_MAX.completeLoss, recovery: this.#options.config.recovery },
    );
    return backupOutcome(this.#scene, {
      column: 'all replicas',
      heading: `${table.records} records, all lost and restored`,
      ...{ lines, checked: judged.checked, history, endedAt, restores: [restore] },
      groups: [
        { text: 'devices', devices: ['van', 'truck'] },
        { text: 'the rolled-back file and its copy', devices: [COPIED, TWIN] },
      ],
      facts: {
        ...{ lostAt, openedAt, servedAt, drainedAt, pace },
        bytesPerItem: table.bytesPerItem,
        records: table.records,
        bareLost: bare.lost,
        bareAcknowledged: bare.acknowledged,
        restoredRecords: judged.restored,
      },
    });
  }

  /** A client works, its file is copied, and it works on. Gives the last edit that the copy knows. */
  async #copyOf(): Promise<number> {
    const { drill, work } = this.#scene;
    const regions = [drill.region('primary'), drill.region('standby')];
    await work.add({ name: COPIED, regions }, COPIED);
    await drill.pause(COPIED_AFTER_MS);
    await work.close(COPIED);
    const lastN = drill.made(COPIED).reduce((most, { n }) => Math.max(most, n), 0);
    drill.step(`the queue file of a client is copied after ${lastN} edits`);
    for (const copy of [TWIN, `${COPIED}-rolled`])
      await drill.orStopped(copyQueueFile(drill.fileOf(COPIED), drill.fileOf(copy)));
    drill.mark('queue file copied');
    await work.add({ name: COPIED, regions }, COPIED, lastN + 1);
    return lastN;
  }

  /** While the table is restored. Gives when it was done, Unix ms. */
  async #rollBack(): Promise<number> {
    const { drill, work } = this.#scene;
    const regions = [drill.region('primary'), drill.region('standby')];
    await work.kill(COPIED);
    await drill.orStopped(copyQueueFile(drill.fileOf(`${COPIED}-rolled`), drill.fileOf(COPIED)));
    const at = preciseNow();
    drill.step('it is rolled back to the copy, and opened again; another copy is opened beside it');
    drill.mark('rolled back', 'plain', at);
    await work.add({ name: COPIED, regions }, COPIED, ROLLED_FROM);
    await work.add({ name: TWIN, regions }, TWIN);
    return at;
  }

  /** What the restore wrote, by the table's own log of its generation; nothing, where it never opened. */
  #span() {
    const { generations } = this.#scene.drill;
    const closed = generations.findIndex(({ status }) => status === 'restoring');
    const opened = generations.findIndex(({ status }, at) => at > closed && status === 'open');
    const never = Number.POSITIVE_INFINITY;
    return {
      closedAfter: generations[closed]?.after ?? never,
      openedAfter: generations[opened]?.after ?? never,
      epochAfter: generations[opened]?.restoreEpoch ?? 0,
    };
  }

  /** Of the table that there is now; what the rolled-back file could not know any more is nobody's promise. */
  #judged(
    history: SyncHistory,
    when: { readonly lostAt: number; readonly openedAt: number | null; readonly copiedAt: number },
  ) {
    const isForgotten = ({ by, n }: Made) => by === COPIED && n > when.copiedAt && n < ROLLED_FROM;
    const forgotten = history.made.filter(isForgotten);
    const lineage = lineageOf(history.log, this.#span(), history.table);
    const lineaged: SyncHistory = {
      ...history,
      log: lineage.log,
      made: history.made.filter((edit) => !isForgotten(edit)),
      sent: history.sent.map((sent) => withoutOldAnswer(sent, when.openedAt ?? Number.POSITIVE_INFINITY)),
    };
    const checked = checkHistory(lineaged, sha256);
    const effects = new Set(
      lineage.log.flatMap(({ after }) => (after?.mark === undefined ? [] : [nameOf(after.mark)])),
    );
    return {
      checked: { ...checked, findings: [...checked.findings, ...lineage.findings] },
      restored: lineage.restored,
      forgotten,
      forgottenLost: forgotten.filter((edit) => !effects.has(nameOf(edit))).length,
    };
  }

  #replayed(): number {
    const { drill, work } = this.#scene;
    return work.names
      .flatMap((name) => drill.events(name, 'recovered'))
      .filter(({ because }) => because === 'restored')
      .reduce((sum, { operations }) => sum + operations, 0);
  }

  /** What both copies sent of the time before they were made. */
  #repeated(sent: readonly Sent[], copiedAt: number, rolledAt: number) {
    const again = sent.filter(
      ({ by, n, sentAt, answer }) =>
        by === COPIED && n <= copiedAt && sentAt >= rolledAt && answer !== undefined,
    );
    const repeatedAs: Record<string, number> = {};
    for (const { answer } of again)
      if (answer) repeatedAs[answer.verdict] = (repeatedAs[answer.verdict] ?? 0) + 1;
    return { repeated: again.length, repeatedAs };
  }
}

/** What was said of the table that is lost was true of that one. */
function withoutOldAnswer(sent: Sent, openedAt: number): Sent {
  if (sent.answer === undefined || sent.answer.at >= openedAt) return sent;
  const { answer: _, ...rest } = sent;
  return rest;
}
