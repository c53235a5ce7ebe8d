// Two Regions' buckets are gone while a backup is due, and the copy that the third makes is damaged: people have to hear of
// both, nothing may be restored from the damaged one, and there has to be something else to restore from.

import { backupPrefix } from '../../../protocol/backups.ts';
import { METRICS } from '../../../protocol/metrics.ts';
import { AlarmBoard, readAlarm } from '../../cloudwatch.ts';
import { preciseNow } from '../../measuring.ts';
import { plantedKey } from '../../planting.ts';
import { backupOutcome } from '../backups/outcome.ts';
import { hourlyDueAt } from '../backups/proven.ts';
import { keyOf, nameOf } from '../backups/replicas.ts';
import { paceOf, takenFrom } from '../backups/restore-said.ts';
import { sabotageLines } from '../backups/sabotage-lines.ts';
import { type BackupScene, onProvenSystem, type RestoreRun } from '../backups/scene.ts';
import type { SeenPoint } from '../backups/storage-watch.ts';
import { checkHistory } from '../checker.ts';
import { seededRandom } from '../pace.ts';
import type { DrillOptions, Outcome, Scenario } from '../scenario.ts';
import { sha256 } from '../sync/keep.ts';
import { DrillError } from '../system.ts';

const NAME = 'backup-sabotage';
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const DAMAGED = 5;
const FIRES_WITHIN_MS = 180_000;
const COMPLETE_WITHIN_MS = 120_000;
/** From the end of the call to its count, as CloudWatch would have it. */
const COUNTED_WITHIN_MS = 15_000;
/** So long at least an alarm is followed, by its definition, for its end. */
const FOLLOWED_MS = 6 * HOUR_MS;

export const backupSabotage: Scenario = {
  name: NAME,
  title: 'Two copies of a backup fail, and the third is damaged',
  about:
    'The backup buckets of two Regions answer nothing while an hourly backup is due, and one byte of the copy that the third Region makes is flipped. The copies have to be counted as missing and the damage found by the verification, file and all, each with an alarm that reaches somebody; a restore that is told to take the damaged backup has to refuse, one that may choose has to take an older verified one, and, once the buckets are back, another Region’s.',
  run: (fresh, options) =>
    onProvenSystem(
      NAME,
      fresh,
      { ...options, metrics: [METRICS.backupReplicasFailed, METRICS.backupCorrupted] },
      (scene) => new Sabotage(scene, options).run(),
    ),
};

class Sabotage {
  readonly #scene: BackupScene;
  readonly #options: DrillOptions;
  /** The Region that keeps its bucket, and those that lose theirs. */
  readonly #third: string;
  readonly #gone: readonly string[];
  /** Of the hour that ends at midnight, which is due twenty minutes past. */
  readonly #prefix: string;

  constructor(scene: BackupScene, options: DrillOptions) {
    this.#scene = scene;
    this.#options = options;
    const { regions } = scene.reads;
    const third = regions.at(-1);
    if (third === undefined) throw new DrillError('expected three Regions with a backup bucket');
    this.#third = third;
    this.#gone = regions.filter((region) => region !== third);
    this.#prefix = backupPrefix({ tier: 'hourly', tickMs: scene.proven.midnight });
  }

  async run(): Promise<Outcome> {
    const { drill, work, watch, replicas, proven, system, reads } = this.#scene;
    const sabotagedAt = preciseNow();
    for (const region of this.#gone) await drill.orStopped(system.breakBucket(region, false));
    drill.step(`the backup buckets of ${this.#gone.join(' and ')} answer nothing`);
    drill.mark('two buckets gone', 'fault', sabotagedAt);
    await this.#backUp(reads.regions);
    await this.#complete([this.#third]);

    const counted = await this.#count();
    const countedAt = counted?.timestampMs ?? preciseNow();
    const failed = counted?.values.at(-1) ?? null;
    const critical = await this.#fired('backup-copies-critical', countedAt);
    drill.step(`${failed ?? 'unknown'} copies are missing; ${critical ? critical.why : 'nobody was told'}`);
    if (critical) drill.mark('critical alarm', 'plain', critical.at);

    const { key: rotten } = await drill.orStopped(system.rot(this.#third, await this.#newestFile()));
    drill.step(`one byte of ${rotten} is flipped in ${this.#third}`);
    drill.mark('a file flipped', 'fault');
    const verifiedAt = preciseNow();
    await drill.orStopped(system.runSchedule(this.#third, 'verification'));
    const verdict = await drill.orStopped(reads.verdict(this.#third, this.#prefix));
    const corrupted = await this.#fired('backup-corrupted', verifiedAt, this.#third);
    drill.step(
      `it is ${verdict?.verdict ?? 'not verified'}; ${corrupted ? corrupted.why : 'nobody was told'}`,
    );
    if (corrupted) drill.mark('corrupted alarm', 'plain', corrupted.at);

    const refused = await this.#scene.restore([
      '--all',
      '--backup',
      this.#prefix,
      '--reason',
      'drill: the damaged one',
    ]);
    const { damaged, older, repaired } = await this.#repairFromOlder();

    for (const region of this.#gone) await drill.orStopped(system.breakBucket(region, true));
    drill.step('the buckets are back');
    drill.mark('buckets back', 'good');
    await this.#backUp(this.#gone);
    await this.#complete(this.#gone);
    const failedAfter = (await this.#count())?.values.at(-1) ?? null;
    const backAt = preciseNow();
    const verifiedAfter = await this.#verifiedIn(this.#gone);
    const another = await this.#scene.restore(['--all', '--dry-run']);

    await work.drained();
    const there = await work.readBack();
    await work.look();
    const endedAt = preciseNow();
    const history = await drill.history();
    const checked = checkHistory(history, sha256);
    drill.step('reading the whole table');
    const { bytesPerItem, records } = await drill.orStopped(replicas.facts(proven.planting));
    const pace = paceOf(older);
    const clearsAfterMs = this.#clearsAfterMs(countedAt, backAt);
    const { stored } = work.bare;
    const lines = sabotageLines(
      {
        verifiedBefore: proven.verified.length,
        ...{ countedAt, failed, critical, rotten, verifiedAt, corrupted, refused, older, repaired },
        verdict: verdict?.verdict,
        named: verdict?.problems.map(({ file }) => file) ?? [],
        olderFrom: takenFrom(older),
        damaged: damaged.length,
        anotherFrom: takenFrom(another),
        anotherExit: another.exitCode,
        ...{ failedAfter, clearsAfterMs, verifiedAfter },
        regions: reads.regions.length,
        bareLost: stored.filter(({ key }) => !there.has(key)).length,
        bareStored: stored.length,
        checked,
        measured: pace && { itemsPerS: pace.itemsPerS, bytesPerItem },
      },
      { thirdRegion: this.#third, prefix: this.#prefix, recovery: this.#options.config.recovery },
    );
    return backupOutcome(this.#scene, {
      column: `${this.#prefix}`,
      heading: `${records} records; two copies of ${this.#prefix} fail, the third is damaged`,
      ...{ lines, checked, history, endedAt, restores: [refused, older, another] },
      groups: [{ text: 'devices', devices: work.names }],
      facts: {
        ...{ failed, failedAfter, rotten, clearsAfterMs, pace, bytesPerItem },
        critical,
        corrupted,
        problems: verdict?.problems,
        measured: watch.points.map(({ region, name, timestampMs, values }) => ({
          region,
          name,
          timestampMs,
          values,
        })),
      },
    });
  }

  /** The hour that ends at midnight, in these Regions; one whose bucket is gone fails. */
  async #backUp(regions: readonly string[]): Promise<void> {
    const { drill, system, proven } = this.#scene;
    drill.step(`${regions.join(', ')} back up: ${this.#prefix}`);
    const runs = regions.map((region) =>
      system.runSchedule(region, 'backup-hourly', hourlyDueAt(proven.midnight)),
    );
    for (const [at, run] of (await drill.orStopped(Promise.allSettled(runs))).entries())
      if (run.status === 'rejected')
        drill.step(`${regions[at]}: ${String(run.reason?.message ?? run.reason)}`);
  }

  /** Until DynamoDB has written what was asked for; the next call sees what has become of it. */
  async #complete(regions: readonly string[]): Promise<void> {
    const { reads, proven } = this.#scene;
    const isComplete = async (region: string) => {
      const backup = await reads.text(region, `${this.#prefix}backup.json`);
      if (backup === undefined) return false;
      const { exportArn } = JSON.parse(backup) as { exportArn: string };
      const folder = `${this.#prefix}AWSDynamoDB/${exportArn.slice(exportArn.lastIndexOf('/') + 1)}/`;
      return (await reads.text(region, `${folder}manifest-summary.json`)) !== undefined;
    };
    const all = async () => (await Promise.all(regions.map(isComplete))).every(Boolean);
    if (!(await this.#scene.within(COMPLETE_WITHIN_MS, all)))
      throw new DrillError(
        `${this.#prefix} of ${new Date(proven.midnight).toISOString()} is not complete in ${regions.join(', ')} after ${COMPLETE_WITHIN_MS / 1_000} s`,
      );
  }

  /** The hourly call that counts the copies of that hour: an hour later, when they have to be complete. What that call is
   * to back up itself lies ahead and cannot be had yet, which it says by failing. */
  async #count(): Promise<SeenPoint | undefined> {
    const { drill, system, proven, watch } = this.#scene;
    const fromMs = Date.now();
    drill.step(`${this.#third} counts everybody's copies`);
    await drill
      .orStopped(system.runSchedule(this.#third, 'backup-hourly', hourlyDueAt(proven.midnight + HOUR_MS)))
      .catch((error: unknown) => {
        if (error instanceof DrillError || this.#options.signal?.aborted) throw error;
      });
    const latest = () => watch.latest(METRICS.backupReplicasFailed, fromMs, this.#third);
    await this.#scene.within(COUNTED_WITHIN_MS, () => latest() !== undefined);
    return latest();
  }

  async #fired(suffix: string, sinceMs: number, region = this.#third) {
    const { watch, system } = this.#scene;
    const name = `eden-field-${system.deployment.stage}-${suffix}`;
    await this.#scene.within(FIRES_WITHIN_MS, () => watch.fired(name, sinceMs, region) !== undefined);
    return watch.fired(name, sinceMs, region);
  }

  /** A data file of the damaged-to-be backup that holds something. */
  async #newestFile(): Promise<string> {
    const { reads } = this.#scene;
    const backup = await reads.text(this.#third, `${this.#prefix}backup.json`);
    const { exportArn } = JSON.parse(backup ?? '{}') as { exportArn?: string };
    const folder = `${this.#prefix}AWSDynamoDB/${exportArn?.slice(exportArn.lastIndexOf('/') + 1)}/`;
    const manifest = await reads.text(this.#third, `${folder}manifest-files.json`);
    const files = (manifest ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { itemCount: number; dataFileS3Key: string });
    const [largest] = files.toSorted((a, b) => b.itemCount - a.itemCount);
    if (largest === undefined) throw new DrillError(`${folder}manifest-files.json names no file`);
    return largest.dataFileS3Key;
  }

  /** Records are damaged, so that there is something to repair, from what is left to repair them from. */
  async #repairFromOlder() {
    const { drill, system, replicas, proven } = this.#scene;
    const random = seededRandom(this.#options.seed);
    const { planting } = proven;
    const names = new Set<string>();
    while (names.size < Math.min(DAMAGED, planting.records))
      names.add(nameOf(plantedKey(planting, Math.floor(random() * planting.records))));
    const damaged = [...names];
    const payload = async (name: string) => (await drill.orStopped(replicas.payloads(keyOf(name))))[0];
    const before = new Map<string, string | undefined>();
    for (const name of damaged) before.set(name, await payload(name));
    for (const record of damaged) await drill.orStopped(system.damage({ record }));
    drill.step(`${damaged.length} records are damaged, to be repaired from what is left`);
    const older: RestoreRun = await this.#scene.restore(['--all', '--reason', 'drill: damaged payloads']);
    let repaired = 0;
    for (const name of damaged)
      if ((await drill.orStopped(replicas.payloads(keyOf(name)))).every((it) => it === before.get(name)))
        repaired += 1;
    return { damaged, older, repaired };
  }

  /** Regions in which that hour is verified now. */
  async #verifiedIn(regions: readonly string[]): Promise<number> {
    const { drill, system, reads } = this.#scene;
    let verified = 0;
    for (const region of regions) {
      await drill.orStopped(system.runSchedule(region, 'verification'));
      const verdict = await drill.orStopped(reads.verdict(region, this.#prefix));
      if (verdict?.verdict === 'verified') verified += 1;
    }
    return verified;
  }

  /**
   * What the alarm's own definition makes of the counts that were measured, if every hour from now on counts as the last
   * one did: nobody waits for two hours here.
   */
  #clearsAfterMs(countedAt: number, backAt: number): number | null {
    const { system, watch } = this.#scene;
    const name = `eden-field-${system.deployment.stage}-backup-copies-critical`;
    const resource = system.deployment
      .ofType('AWS::CloudWatch::Alarm', this.#third)
      .find(({ properties, physicalId }) => (properties['AlarmName'] ?? physicalId) === name);
    const definition = resource && readAlarm(this.#third, resource.properties, resource.physicalId);
    if (definition === undefined || 'notRehearsed' in definition) return null;
    const board = new AlarmBoard([definition], countedAt);
    const points = watch.points.filter(({ region }) => region === this.#third);
    board.add(this.#third, points);
    const last = points.filter(({ name: metric }) => metric === METRICS.backupReplicasFailed).at(-1);
    if (last === undefined) return null;
    for (let at = backAt; at < backAt + FOLLOWED_MS; at += MINUTE_MS) {
      if (at > backAt && Math.floor((at - backAt) / MINUTE_MS) % 60 === 0)
        board.add(this.#third, [{ ...last, timestampMs: at }]);
      board.evaluate(at);
      if (board.stateOf(this.#third, name)?.state === 'OK') return at - countedAt;
    }
    return null;
  }
}
