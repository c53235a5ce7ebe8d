// A backup's own word about itself, read for its verification: what was asked for, both manifests, and their checksums.
import { createHash } from 'node:crypto';
import type { BackupProblem, BackupVerdict } from '../protocol/backup-verdicts.ts';
import type { Backup } from '../protocol/backups.ts';
import {
  checksumKeys,
  ExportFileError,
  exportFolder,
  MANIFEST_SUMMARY,
  parseFiles,
  parseSummary,
} from '../protocol/export-files.ts';
import { type Subject, unreadableVerdict } from './core/verifying.ts';
import type { BackupReader } from './store/backup-store.ts';

/** The verdict itself, where the manifests cannot be read. @throws {StoreUnavailableError} */
export async function readSubject(
  reader: BackupReader,
  backup: Backup,
  lockUntilMs: number | undefined,
  nowMs: number,
): Promise<Subject | BackupVerdict> {
  const prefix = `${backup.tier}/${backup.tick}/`;
  const summaryKey = `${exportFolder(prefix, backup.exportArn)}${MANIFEST_SUMMARY}`;
  const faults: BackupProblem[] = [];
  const manifest = async (key: string): Promise<string> => {
    const text = await reader.text(key);
    if (text === undefined) throw new ExportFileError(key, undefined, 'a manifest', 'none');
    faults.push(...(await checksumFaults(reader, key, text)));
    return text;
  };
  try {
    const summaryText = await manifest(summaryKey);
    const summary = parseSummary(summaryText, summaryKey);
    const filesText = await manifest(summary.manifestFilesKey);
    const files = parseFiles(filesText, summary.manifestFilesKey, prefix);
    return {
      backup,
      summary,
      files,
      manifest: md5(summaryText + filesText).toString('hex'),
      faults,
      ...(lockUntilMs !== undefined && { lockUntilMs }),
    };
  } catch (error) {
    if (!(error instanceof ExportFileError)) throw error;
    const { file, line, message } = error;
    const what = message.replace(/^.*?: /, '');
    return unreadableVerdict(backup, { file, ...(line !== undefined && { line }), what }, nowMs);
  }
}

async function checksumFaults(
  reader: BackupReader,
  key: string,
  text: string,
): Promise<readonly BackupProblem[]> {
  const found = md5(text);
  for (const at of checksumKeys(key)) {
    const stated = (await reader.text(at))?.trim();
    if (stated === undefined) continue;
    const [base64, hex] = [found.toString('base64'), found.toString('hex')];
    return stated === base64 || stated.toLowerCase() === hex
      ? []
      : [{ file: key, what: `expected the MD5 ${stated} of ${at}, got ${base64}` }];
  }
  return [{ file: key, what: 'expected its checksum beside it, got none' }];
}

function md5(text: string): Buffer {
  return createHash('md5').update(text, 'utf8').digest();
}
