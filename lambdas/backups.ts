// What a bucket says of its backups: what was asked for stands beside each, and that it is complete DynamoDB says by the
// summary it writes last.
import { type BackupVerdict, parseBackupVerdict } from '../protocol/backup-verdicts.ts';
import {
  BACKUP_FILE,
  type Backup,
  type BackupId,
  backupPrefix,
  HOUR_MS,
  parseBackup,
  VERDICT_FILE,
} from '../protocol/backups.ts';
import { exportFolder, MANIFEST_SUMMARY } from '../protocol/export-files.ts';
import { type CopyOutcome, chainDayOf, type KnownBackup } from './core/backup-plan.ts';
import type { BackupReader } from './store/backup-store.ts';

export interface VerifiableBackup extends KnownBackup {
  /** Of this very export. */
  readonly verdict?: BackupVerdict;
}

/** Undefined when nothing was asked for, or when what stands there cannot be read: then it is asked for again. */
export async function knownBackup(reader: BackupReader, id: BackupId): Promise<VerifiableBackup | undefined> {
  const prefix = backupPrefix(id);
  const backup = await backupAt(reader, prefix);
  if (!backup) return undefined;
  const { kind, toMs, chain, attempt, exportArn } = backup;
  const [summary, verdict] = await Promise.all([
    reader.text(`${exportFolder(prefix, exportArn)}${MANIFEST_SUMMARY}`),
    verdictAt(reader, prefix),
  ]);
  return {
    ...id,
    ...{ kind, toMs, chain, attempt, exportArn },
    state: summary === undefined ? 'under_way' : 'completed',
    ...(verdict?.exportArn === exportArn && { verdict }),
  };
}

/** Undefined when there is none, or none that can be read. */
export function backupAt(reader: BackupReader, prefix: string): Promise<Backup | undefined> {
  return read(reader, `${prefix}${BACKUP_FILE}`, parseBackup);
}

export function verdictAt(reader: BackupReader, prefix: string): Promise<BackupVerdict | undefined> {
  return read(reader, `${prefix}${VERDICT_FILE}`, parseBackupVerdict);
}

/** Undefined when there is nothing, or nothing that can be read. */
async function read<T>(
  reader: BackupReader,
  key: string,
  parse: (text: string, key: string) => T,
): Promise<T | undefined> {
  const text = await reader.text(key);
  try {
    return text === undefined ? undefined : parse(text, key);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** What a plan needs to know: the tick's own backup, and for an hour all that its chain may be made of. */
export async function knownFor(reader: BackupReader, id: BackupId): Promise<readonly KnownBackup[]> {
  const ids: BackupId[] = [id];
  if (id.tier === 'hourly') {
    const dayMs = chainDayOf(id.tickMs);
    ids.push({ tier: 'daily', tickMs: dayMs });
    for (let tickMs = dayMs; tickMs < id.tickMs; tickMs += HOUR_MS) ids.push({ tier: 'hourly', tickMs });
  }
  const found = await Promise.all(ids.map((it) => knownBackup(reader, it)));
  return found.flatMap((it) => it ?? []);
}

/** Never rejects: a bucket that cannot be read is an outcome. */
export async function copyOutcome(region: string, reader: BackupReader, id: BackupId): Promise<CopyOutcome> {
  try {
    const known = await knownBackup(reader, id);
    return { region, state: known?.state ?? 'missing' };
  } catch (error) {
    return { region, state: 'unreachable', why: error instanceof Error ? error.message : String(error) };
  }
}
