// A data file from its bytes to its check, in constant memory: hashed as it comes, unpacked, cut into lines.
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import type { ExportFile, ExportSummary } from '../protocol/export-files.ts';
import { ExportStream } from '../protocol/export-stream.ts';
import { FileCheck, type FileReport } from './core/file-check.ts';
import { StoreUnavailableError } from './store/store.ts';

/**
 * A file that is not there, or not whole, is reported as such.
 * @throws {StoreUnavailableError} its bytes stopped coming
 */
export async function readExportFile(
  file: ExportFile,
  summary: ExportSummary,
  bytes: AsyncIterable<Uint8Array> | undefined,
): Promise<FileReport> {
  const check = new FileCheck(file, summary);
  if (!bytes) return check.broken('no such file');
  const stream = new ExportStream(bytes, { createHash, createGunzip });
  try {
    for await (const lines of stream.lines()) for (const line of lines) check.line(line);
  } catch (error) {
    if (error instanceof StoreUnavailableError) throw error;
    // A partition without items may have a file without a byte.
    if (stream.size > 0 || file.itemCount > 0)
      return check.broken(error instanceof Error ? error.message : String(error));
  }
  return check.end(stream.md5Base64());
}
