// A data file from its bytes to its check, in constant memory: hashed as it comes, unpacked, cut into lines.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { ExportFile, ExportSummary } from '../protocol/export-files.ts';
import { lineBatches } from '../protocol/lines.ts';
import { FileCheck, type FileReport } from './core/file-check.ts';
import { StoreUnavailableError } from './store/store.ts';

/** Unpacked on another thread, so far ahead of what is being looked at. */
const CHUNK_BYTES = 256 * 1024;

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
  const md5 = createHash('md5');
  let size = 0;
  async function* hashed(source: AsyncIterable<Uint8Array>) {
    for await (const chunk of source) {
      md5.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  const source = Readable.from(hashed(bytes), { objectMode: false });
  const unpacked = createGunzip({ chunkSize: CHUNK_BYTES });
  // An error of the source ends what is unpacked with the same error.
  source.on('error', (error) => unpacked.destroy(error));
  try {
    for await (const lines of lineBatches(source.pipe(unpacked))) for (const line of lines) check.line(line);
  } catch (error) {
    if (error instanceof StoreUnavailableError) throw error;
    // A partition without items may have a file without a byte.
    if (size > 0 || file.itemCount > 0) {
      source.destroy();
      return check.broken(error instanceof Error ? error.message : String(error));
    }
  }
  return check.end(md5.digest('base64'));
}
