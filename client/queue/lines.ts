// Reads the lines of groups back, each proved again against the chain: what the disk returns is never taken on trust.
import type { GroupRow, QueueDisk } from './disk.ts';
import { QueueCorruptError } from './errors.ts';
import { linkOf, thinnedSealOf } from './format.ts';
import type { Group } from './ledger.ts';

/** Batches and replays walk the groups in order, so a few suffice. */
const GROUPS_CACHED = 4;

export type ReadLines = (group: Group) => readonly string[];

export function lineReader(disk: QueueDisk): ReadLines {
  const cached = new Map<Group, readonly string[]>();
  return (group) => {
    const known = cached.get(group);
    if (known !== undefined) return known;
    const row = disk.readGroup(group.position);
    if (
      row === undefined ||
      row.link !== group.link ||
      row.seal !== group.seal ||
      !isProved(group.previous, row)
    )
      throw new QueueCorruptError(disk.path, [
        { where: 'operations', what: `${rangeOf(group)} do not read back as they were written` },
      ]);
    const lines = row.body.split('\n');
    const [oldest] = cached.keys();
    if (oldest !== undefined && cached.size >= GROUPS_CACHED) cached.delete(oldest);
    cached.set(group, lines);
    return lines;
  };
}

export function isProved(previous: string, row: GroupRow): boolean {
  return row.seal === null ? linkOf(previous, row) === row.link : thinnedSealOf(row) === row.seal;
}

export function rangeOf({ position, count }: { readonly position: number; readonly count: number }): string {
  return count === 1 ? `operation ${position}` : `operations ${position} to ${position + count - 1}`;
}
