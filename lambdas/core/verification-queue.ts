// Which backup a Region verifies next, whether it is its turn to load one into a table, and how late verdicts are.
import { type BackupVerdict, VERIFIED_WITHIN_MS } from '../../protocol/backup-verdicts.ts';
import { type Backup, type BackupId, backupPrefix, DAY_MS } from '../../protocol/backups.ts';

/** Whether a Region loads a full backup into a scratch table: each in turn, by day, and the offsite one where it stands,
 * since no other Region has it. A Region that is gone misses its turn. */
export function loadsScratch(
  { tier, tickMs }: BackupId,
  kind: Backup['kind'],
  region: string,
  regions: readonly string[],
): boolean {
  if (kind !== 'full') return false;
  if (tier === 'offsite') return true;
  const turn = Math.floor(tickMs / (tier === 'weekly' ? 7 * DAY_MS : DAY_MS)) % regions.length;
  return [...regions].sort()[turn] === region;
}

export interface Verifiable extends BackupId {
  readonly chain: readonly string[];
  readonly exportArn: string;
}

/** Which complete backup to verify next: the one whose time is up first, among those whose chain has its verdicts. */
export function nextToVerify<B extends Verifiable>(
  complete: readonly B[],
  verdicts: ReadonlyMap<string, Pick<BackupVerdict, 'exportArn'>>,
): B | undefined {
  return unverified(complete, verdicts)
    .filter(({ chain }) => chain.every((prefix) => verdicts.has(prefix)))
    .sort((a, b) => dueMs(a) - dueMs(b))[0];
}

/** How long the longest overdue verdict is overdue, in ms; 0 when none is. */
export function verdictOverdueMs(
  complete: readonly Verifiable[],
  verdicts: ReadonlyMap<string, Pick<BackupVerdict, 'exportArn'>>,
  nowMs: number,
): number {
  return unverified(complete, verdicts).reduce((worst, it) => Math.max(worst, nowMs - dueMs(it)), 0);
}

/** A verdict on an export that was since made again is none. */
function unverified<B extends Verifiable>(
  complete: readonly B[],
  verdicts: ReadonlyMap<string, Pick<BackupVerdict, 'exportArn'>>,
): readonly B[] {
  return complete.filter((it) => verdicts.get(backupPrefix(it))?.exportArn !== it.exportArn);
}

function dueMs({ tier, tickMs }: BackupId): number {
  return tickMs + VERIFIED_WITHIN_MS[tier];
}
