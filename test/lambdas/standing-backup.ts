// A backup as it stands in a bucket: what was asked for, both manifests with their checksums, compressed data files.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { BACKUP_FILE } from '../../protocol/backups.ts';
import { exportFolder, MANIFEST_FILES, MANIFEST_SUMMARY } from '../../protocol/export-files.ts';
import type { Bucket } from './backup-world.ts';
import type { Exported } from './exports.ts';

export const md5 = (bytes: Uint8Array | string) => createHash('md5').update(bytes).digest('base64');

/** Puts it there; gives the keys of its data files. */
export function stand(bucket: Bucket, { backup, summary, lines, files }: Exported): readonly string[] {
  const { prefix } = summary;
  bucket.objects.set(`${prefix}${BACKUP_FILE}`, JSON.stringify(backup));
  const manifest = files.map(({ key, itemCount }, at) => {
    const bytes = gzipSync((lines[at] ?? []).map((line) => `${line}\n`).join(''));
    bucket.files.set(key, bytes);
    return JSON.stringify({ itemCount, md5Checksum: md5(bytes), etag: 'x', dataFileS3Key: key });
  });
  const folder = exportFolder(prefix, backup.exportArn);
  const iso = (ms: number) => new Date(ms).toISOString();
  put(bucket, `${folder}${MANIFEST_FILES}`, manifest.map((line) => `${line}\n`).join(''));
  put(
    bucket,
    `${folder}${MANIFEST_SUMMARY}`,
    JSON.stringify({
      exportArn: backup.exportArn,
      tableArn: backup.tableArn,
      ...(backup.fromMs === undefined
        ? { exportTime: iso(backup.toMs) }
        : {
            exportFromTime: iso(backup.fromMs),
            exportToTime: iso(backup.toMs),
            exportType: 'INCREMENTAL_EXPORT',
            outputView: 'NEW_AND_OLD_IMAGES',
          }),
      s3Bucket: 'backups',
      s3Prefix: prefix.replace(/\/$/, ''),
      manifestFilesS3Key: `${folder}${MANIFEST_FILES}`,
      itemCount: summary.itemCount,
      outputFormat: 'DYNAMODB_JSON',
    }),
  );
  return files.map(({ key }) => key);
}

function put(bucket: Bucket, key: string, text: string): void {
  bucket.objects.set(key, text);
  bucket.objects.set(key.replace(/\.json$/, '.md5'), md5(text));
}
