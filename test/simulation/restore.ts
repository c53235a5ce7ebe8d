// A restore as PROTOCOL §8 says it: close, wait until nothing is under way any more, load an older state with new
// commit versions, raise the epoch, open. The command is not built yet; this stands in for it.
import { createStampClock } from '../../lambdas/core/clock.ts';
import { ATTRIBUTES, feedOrderOf, GENERATION_KEY, recordKeyOf } from '../../protocol/items.ts';
import type { Dice } from './dice.ts';
import type { Item } from './expressions.ts';
import type { World } from './world.ts';

const CLOSED_WAIT_MS = 15_000;

export interface Backup {
  /** The last entry of the log that it holds. */
  readonly entry: number;
  readonly items: ReadonlyMap<string, Item>;
}

export function takeBackup({ table }: World): Backup {
  const items = new Map<string, Item>();
  for (const pk of table.headKeys()) {
    const item = table.head(pk);
    if (item !== undefined && recordKeyOf(pk) !== undefined) items.set(pk, item);
  }
  return { entry: table.log.length - 1, items };
}

export async function restore(world: World, backup: Backup, dice: Dice): Promise<void> {
  const { table, scheduler, chronicle, onLog } = world;
  const epoch = Number(table.head(GENERATION_KEY.pk)?.['restoreEpoch']?.N);
  onLog(() => `a restore of entry ${backup.entry} begins`);
  world.setGeneration('restoring', epoch);
  await scheduler.wait(CLOSED_WAIT_MS);
  await load(world, backup, dice);
  const raised = Math.max(epoch + 1, Math.floor(scheduler.nowMs));
  world.setGeneration('open', raised);
  onLog(() => `restored, epoch ${raised}`);
  const last = chronicle.restores.at(-1);
  if (last) last.epoch = raised;
}

/** Into an empty table, record by record. */
async function load({ table, scheduler, chronicle }: World, backup: Backup, dice: Dice): Promise<void> {
  chronicle.restores.push({ backup: backup.entry, from: table.log.length, epoch: undefined });
  for (const pk of table.headKeys()) if (recordKeyOf(pk) !== undefined) table.put(pk, undefined, undefined);
  const stamps = createStampClock('0'.repeat(16));
  // Records of one batch share a stamp: the order of the feed has their names in it (PROTOCOL 6.1).
  const shared = dice.chance(0.5) ? stamps.stamp(Math.floor(scheduler.nowMs)) : undefined;
  for (const [pk, item] of backup.items) {
    await scheduler.wait(dice.between(1, 800));
    const key = recordKeyOf(pk);
    if (key === undefined) continue;
    const commit = shared ?? stamps.stamp(Math.floor(scheduler.nowMs));
    const sweepOrder = item[ATTRIBUTES.sweepOrder]?.S;
    table.put(
      pk,
      {
        ...item,
        [ATTRIBUTES.commitVersion]: { S: commit },
        [ATTRIBUTES.feedOrder]: { S: feedOrderOf(commit, key) },
        ...(sweepOrder && { [ATTRIBUTES.sweepOrder]: { S: `${commit}${sweepOrder.slice(commit.length)}` } }),
      },
      undefined,
    );
  }
}
