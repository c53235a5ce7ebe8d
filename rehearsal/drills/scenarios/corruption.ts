// Records are damaged in every replica behind the service's back: the scrubber has to find them, somebody has to be woken,
// and the command of the runbook has to put them right while everybody goes on working.
import { RECOVERY_MS_MAX } from '../../../config/promises.ts';
import { METRICS } from '../../../protocol/metrics.ts';
import { preciseNow } from '../../measuring.ts';
import { plantedKey } from '../../planting.ts';
import { bareFacts } from '../backups/bare-load.ts';
import { corruptionLines } from '../backups/corruption-lines.ts';
import { backupOutcome } from '../backups/outcome.ts';
import { keyOf, nameOf } from '../backups/replicas.ts';
import { paceOf } from '../backups/restore-said.ts';
import { type BackupScene, onProvenSystem } from '../backups/scene.ts';
import { BARE_TENANT } from '../backups/steady-work.ts';
import { checkHistory } from '../checker.ts';
import { seededRandom } from '../pace.ts';
import type { DrillOptions, Outcome, Scenario } from '../scenario.ts';
import { sha256 } from '../sync/keep.ts';
import { DrillError } from '../system.ts';

const NAME = 'corruption';
/** Of what the backup has, and of what only the journals have. */
const DAMAGED = { planted: 15, journaled: 5 } as const;
const SETTLE_MS = 5_000;
/** Until the last replica has what the first was given. */
const REPAIRED_WITHIN_MS = 30_000;

export const corruption: Scenario = {
  name: NAME,
  title: 'Records are damaged in every replica behind the service’s back',
  about: `${DAMAGED.planted + DAMAGED.journaled} records among many, some of them newer than every backup, lose a character in all three replicas, under the hash they had. The scrubber has to find each, its alarm has to reach somebody, and npm run restore -- --record has to make each what it was, within a quarter of an hour, while clients work and notice nothing.`,
  run: (fresh, options) =>
    onProvenSystem(NAME, fresh, { ...options, metrics: [METRICS.dataCorruption] }, (scene) =>
      run(scene, options),
    ),
};

async function run(scene: BackupScene, { config, seed }: DrillOptions): Promise<Outcome> {
  const { drill, work, watch, replicas, proven, system } = scene;
  const names = chosen(scene, seed);
  const before = await payloadsOf(scene, names);
  const closedBefore = drill.generations.length;
  drill.step(`${names.length} records are damaged in every replica`);
  const damagedAt = preciseNow();
  for (const record of names) await drill.orStopped(system.damage({ record }));
  drill.mark(`${names.length} records damaged`, 'fault', damagedAt);

  const { corruption: recoveryMs } = RECOVERY_MS_MAX;
  const alarm = corruptionAlarm(scene);
  const isFound = () => names.every((name) => watch.named.has(name));
  const isPaged = () => watch.fired(alarm, damagedAt) !== undefined;
  await scene.within(recoveryMs, () => isFound() && isPaged());
  const found = names.filter((name) => watch.named.has(name));
  const fired = watch.fired(alarm, damagedAt);
  drill.step(
    `found ${found.length} of ${names.length}; ${fired ? `paged: ${fired.why}` : 'nobody was paged'}`,
  );
  if (fired) drill.mark('paged', 'plain', fired.at);
  if (found.length === 0)
    throw new DrillError('the scrubber found nothing, so there is nothing to restore by its words');

  const restore = await scene.restore([
    ...found.flatMap((name) => ['--record', name]),
    ...['--reason', 'drill: damaged payloads'],
  ]);
  const whole = () => wholeAgain(scene, before);
  const isRepaired = await scene.within(
    REPAIRED_WITHIN_MS,
    async () => (await whole()).length === names.length,
  );
  const repairedAt = isRepaired ? preciseNow() : null;
  const repaired = (await whole()).length;
  if (repairedAt !== null) drill.mark('all repaired', 'good', repairedAt);
  await drill.pause(SETTLE_MS);

  const workedUntil = preciseNow();
  await work.drained();
  const there = await work.readBack();
  await work.look();
  const endedAt = preciseNow();
  const history = await drill.history();
  const checked = checkHistory(history, sha256);
  drill.step('reading the whole table');
  const { bytesPerItem, planted } = await drill.orStopped(replicas.facts(proven.planting));
  const pace = paceOf(restore);
  const { stored } = work.bare;
  const isDamaged = ({ key }: { readonly key: string }) => names.includes(`${BARE_TENANT}/${key}`);
  const calls = work.bare.calls.filter((call) => !isDamaged(call));
  const damagedReads = work.bare.calls.filter((call) => isDamaged(call) && call.startedAt >= damagedAt);
  const lines = corruptionLines(
    {
      ...{ damagedAt, damaged: names, foundAt: watch.named, alarm: fired, restore, repairedAt, repaired },
      plantedThere: planted,
      planted: proven.planting.records,
      closed: drill.generations.length - closedBefore,
      bare: bareFacts(calls, damagedAt, workedUntil),
      refusedReads: damagedReads.filter(({ ok, wrong }) => !ok && !wrong).length,
      wrongReads: work.bare.calls.filter(({ wrong }) => wrong).length,
      bareLost: stored.filter(({ key }) => !there.has(key)).length,
      bareStored: stored.length,
      checked,
      measured: pace && { itemsPerS: pace.itemsPerS, bytesPerItem },
    },
    { recoveryMs, recovery: config.recovery },
  );
  return backupOutcome(scene, {
    column: `${names.length} damaged`,
    heading: `${names.length} of ${proven.planting.records} records damaged, found, repaired`,
    ...{ lines, checked, history, endedAt, restores: [restore] },
    groups: [{ text: 'devices', devices: work.names }],
    facts: { damagedAt, alarm: fired, found: found.length, repaired, pace, bytesPerItem },
  });
}

/** Some of what was planted, and bare records that are younger than the backup: nobody changes either. */
function chosen({ proven: { planting }, work }: BackupScene, seed: number): readonly string[] {
  const random = seededRandom(seed);
  const numbers = new Set<number>();
  while (numbers.size < Math.min(DAMAGED.planted, planting.records))
    numbers.add(Math.floor(random() * planting.records));
  const bare = work.bare.stored.slice(0, DAMAGED.journaled).map(({ key }) => `${BARE_TENANT}/${key}`);
  if (bare.length < DAMAGED.journaled)
    throw new DrillError(`expected ${DAMAGED.journaled} stored bare records to damage, got ${bare.length}`);
  return [...[...numbers].map((n) => nameOf(plantedKey(planting, n))), ...bare];
}

async function payloadsOf(
  { replicas, drill }: BackupScene,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const payloads = new Map<string, string>();
  for (const name of names) {
    const [payload, ...others] = await drill.orStopped(replicas.payloads(keyOf(name)));
    if (payload === undefined || others.some((other) => other !== payload))
      throw new DrillError(`${name}: expected to be the same in every replica before anything is damaged`);
    payloads.set(name, payload);
  }
  return payloads;
}

/** Those that every replica has as they were. */
async function wholeAgain(
  { replicas, drill }: BackupScene,
  before: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const looks = await drill.orStopped(
    Promise.all(
      [...before].map(async ([name, payload]) => ({
        name,
        isWhole: (await replicas.payloads(keyOf(name))).every((it) => it === payload),
      })),
    ),
  );
  return looks.filter(({ isWhole }) => isWhole).map(({ name }) => name);
}

/** The alarm on what scrubbers count, as the template names it. */
function corruptionAlarm({ system }: BackupScene): string {
  const found = system.deployment.ofType('AWS::CloudWatch::Alarm').find(({ properties }) => {
    const dimensions = JSON.stringify(properties['Dimensions'] ?? []);
    return properties['MetricName'] === METRICS.dataCorruption && dimensions.includes('"scrubber"');
  });
  if (found === undefined)
    throw new DrillError(`no alarm of this deployment is on the scrubbers' ${METRICS.dataCorruption}`);
  return String(found.properties['AlarmName'] ?? found.physicalId);
}
