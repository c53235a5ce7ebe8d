// What backups depend on of DynamoDB's exports, as an ordinary SDK sees it: what one has of the table and where it puts
// that. Runs on whatever answers to DynamoDB's and S3's API.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { DeleteItemCommand, ListExportsCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import {
  type ExportsUnderTest,
  exported,
  HOUR,
  LAG,
  type ReadExport,
  readExport,
  secondAfter,
  span,
} from './exports-subject.ts';

/** @param subject is asked for inside the cases */
export function exportsContract(subject: () => ExportsUnderTest): void {
  const tableName = () => subject().tableArn.split('/')[1];
  const keyOf = (pk: string) => ({ pk: { S: pk }, sk: { S: 'STATE' } });
  const put = (pk: string, text: string) =>
    subject().dynamodb.send(
      new PutItemCommand({ TableName: tableName(), Item: { ...keyOf(pk), text: { S: text } } }),
    );
  const remove = (pk: string) =>
    subject().dynamodb.send(new DeleteItemCommand({ TableName: tableName(), Key: keyOf(pk) }));
  /** A whole second with all before it in the past, and all from now on after it. */
  const mark = async () => {
    await subject().pass(2_000);
    const time = secondAfter(subject().now());
    await subject().pass(2_000);
    return time;
  };
  const textsOf = ({ lines }: ReadExport) =>
    Object.fromEntries(
      lines.map((line) => {
        const { pk, text } = line['Item'] as Record<string, { S: string }>;
        return [pk?.S, text?.S];
      }),
    );
  describe('a full export', () => {
    test('has every item as it stood at its time, whatever came later', async () => {
      await put('kept', 'one');
      await put('changed', 'one');
      await put('removed', 'one');
      const time = await mark();
      await put('changed', 'two');
      await remove('removed');
      await put('added', 'two');
      await subject().pass(LAG);
      const then = await readExport(subject(), await exported(subject(), { ExportTime: time }));
      const { kept, changed, removed, added } = textsOf(then);
      assert.deepEqual([kept, changed, removed, added], ['one', 'one', 'one', undefined]);
      const now = textsOf(await readExport(subject(), await exported(subject())));
      assert.deepEqual(
        [now['kept'], now['changed'], now['removed'], now['added']],
        ['one', 'two', undefined, 'two'],
      );
    });

    test('stands where and says what DynamoDB documents', async () => {
      const { s3, bucket: Bucket, tableArn, keyArn } = subject();
      const S3Prefix = randomUUID();
      const read = await readExport(
        subject(),
        await exported(subject(), { S3Prefix, S3SseAlgorithm: 'KMS', S3SseKmsKeyId: keyArn }),
      );
      const { description, summary, files } = read;
      const id = description.ExportArn?.split('/').at(-1) ?? '';
      assert.match(id, /^\d{14}-[0-9a-f]{8}$/);
      assert.equal(description.ExportArn, `${tableArn}/export/${id}`);
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: S3Prefix }));
      const folder = `${S3Prefix}/AWSDynamoDB/${id}`;
      const data = files.map(({ dataFileS3Key }) => dataFileS3Key);
      assert.deepEqual(
        Contents.map(({ Key }) => Key).sort(),
        [
          `${folder}/_started`,
          ...data,
          `${folder}/manifest-files.json`,
          `${folder}/manifest-files.md5`,
          `${folder}/manifest-summary.json`,
          `${folder}/manifest-summary.md5`,
        ].sort(),
      );
      for (const key of data) assert.match(key, new RegExp(`^${folder}/data/[a-z0-9]{26}\\.json\\.gz$`));
      const { startTime, endTime, exportTime, tableId, billedSizeBytes, ...rest } = summary;
      assert.deepEqual(rest, {
        version: '2020-06-30',
        exportArn: description.ExportArn,
        tableArn,
        s3Bucket: Bucket,
        s3Prefix: S3Prefix,
        s3SseAlgorithm: 'KMS',
        s3SseKmsKeyId: keyArn,
        manifestFilesS3Key: `${folder}/manifest-files.json`,
        itemCount: read.lines.length,
        outputFormat: 'DYNAMODB_JSON',
      });
      assert.equal(exportTime, description.ExportTime?.toISOString());
      assert.equal(startTime, description.StartTime?.toISOString());
      assert.ok(String(endTime) <= String(description.EndTime?.toISOString()));
      assert.equal(tableId, description.TableId);
      assert.equal(billedSizeBytes, description.BilledSizeBytes);
      const { ServerSideEncryption, SSEKMSKeyId } = await s3.send(
        new GetObjectCommand({ Bucket, Key: data[0] }),
      );
      assert.deepEqual([ServerSideEncryption, SSEKMSKeyId], ['aws:kms', keyArn]);
    });

    test('is encrypted by S3 unless it asks for a key, whatever the bucket’s default', async () => {
      const { s3, bucket: Bucket } = subject();
      const { summary, files } = await readExport(subject(), await exported(subject()));
      assert.deepEqual([summary['s3SseAlgorithm'], summary['s3SseKmsKeyId']], ['AES256', null]);
      const Key = files[0]?.dataFileS3Key;
      const { ServerSideEncryption } = await s3.send(new GetObjectCommand({ Bucket, Key }));
      assert.equal(ServerSideEncryption, 'AES256');
    });

    test('takes its prefix as it is, and none at all', async () => {
      const one = await exported(subject(), { S3Prefix: 'with/slash/' });
      assert.match(String(one.ExportManifest), /^with\/slash\/AWSDynamoDB\/\d/);
      const none = await exported(subject(), { S3Prefix: undefined });
      assert.match(String(none.ExportManifest), /^AWSDynamoDB\/\d/);
    });
  });

  describe('an incremental export', () => {
    test('has every change in its span once, with what was and what became of the item', async () => {
      for (const pk of ['i-kept', 'i-changed', 'i-removed', 'i-twice']) await put(pk, 'one');
      const from = await mark();
      await put('i-changed', 'two');
      await put('i-twice', 'two');
      await put('i-twice', 'three');
      await remove('i-removed');
      await put('i-added', 'two');
      await put('i-passing', 'two');
      await remove('i-passing');
      await subject().pass(HOUR);
      const to = await mark();
      await put('i-changed', 'late');
      await subject().pass(LAG);
      const shapes = async (view?: 'NEW_IMAGE') => {
        const read = await readExport(subject(), await exported(subject(), span(from, to, view)));
        const rows = read.lines.map(({ Metadata: _, Keys, OldImage, NewImage }) => {
          const [key, old, next] = [Keys, OldImage, NewImage] as Record<string, { S: string }>[];
          return [key?.['pk']?.S, old?.['text']?.S, next?.['text']?.S] as const;
        });
        return { read, rows: rows.toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)) };
      };
      const { read, rows } = await shapes();
      assert.deepEqual(rows, [
        ['i-added', undefined, 'two'],
        ['i-changed', 'one', 'two'],
        ['i-removed', 'one', undefined],
        ['i-twice', 'one', 'three'],
      ]);
      for (const { Metadata } of read.lines) {
        const micros = Number((Metadata as { WriteTimestampMicros: { N: string } }).WriteTimestampMicros.N);
        assert.ok(micros >= from.getTime() * 1_000 && micros < to.getTime() * 1_000);
      }
      assert.deepEqual(
        (await shapes('NEW_IMAGE')).rows,
        rows.map(([key, , next]) => [key, undefined, next]),
      );
    });

    test('stands in the folder that all under its prefix share, and says its span', async () => {
      const from = await mark();
      await put('s-one', 'one');
      await subject().pass(HOUR);
      const to = await mark();
      await subject().pass(LAG);
      const { description, summary, files } = await readExport(
        subject(),
        await exported(subject(), { S3Prefix: 'shared', ...span(from, to) }),
      );
      assert.match(String(description.ExportManifest), /^shared\/AWSDynamoDB\/\d{14}-[0-9a-f]{8}\/manifest/);
      assert.deepEqual(files.length, 1);
      for (const { dataFileS3Key } of files)
        assert.match(dataFileS3Key, /^shared\/AWSDynamoDB\/data\/[a-z0-9]{26}\.json\.gz$/);
      assert.partialDeepStrictEqual(summary, {
        version: '2023-08-01',
        exportFromTime: from.toISOString(),
        exportToTime: to.toISOString(),
        outputView: 'NEW_AND_OLD_IMAGES',
        exportType: 'INCREMENTAL_EXPORT',
      });
      assert.equal('exportTime' in summary, false);
      assert.equal(description.ExportType, 'INCREMENTAL_EXPORT');
      assert.deepEqual(description.IncrementalExportSpecification, {
        ExportFromTime: from,
        ExportToTime: to,
        ExportViewType: 'NEW_AND_OLD_IMAGES',
      });
    });

    test('of a time in which nothing happened has nothing', async () => {
      const from = await mark();
      await subject().pass(HOUR);
      const read = await readExport(subject(), await exported(subject(), span(from)));
      assert.deepEqual([read.lines, read.files], [[], []]);
    });
  });

  test('exports are listed a page at a time, the newest first', async () => {
    const { dynamodb, tableArn } = subject();
    const last = await exported(subject());
    const page = await dynamodb.send(new ListExportsCommand({ TableArn: tableArn, MaxResults: 2 }));
    assert.equal(page.ExportSummaries?.length, 2);
    assert.deepEqual(page.ExportSummaries[0], {
      ExportArn: last.ExportArn,
      ExportStatus: 'COMPLETED',
      ExportType: 'FULL_EXPORT',
    });
    const next = await dynamodb.send(
      new ListExportsCommand({ TableArn: tableArn, MaxResults: 1, NextToken: page.NextToken }),
    );
    const arns = [...page.ExportSummaries, ...(next.ExportSummaries ?? [])].map(({ ExportArn }) => ExportArn);
    assert.equal(new Set(arns).size, 3);
    const odd = dynamodb.send(new ListExportsCommand({ NextToken: 'nothing' }));
    await assert.rejects(odd, { name: 'ValidationException' });
  });
}
