// What holds for the cases of exports: what they run on, asking for one and waiting for its end, reading what it wrote.
import assert from 'node:assert/strict';
import { hash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import {
  DescribeExportCommand,
  type DynamoDBClient,
  type ExportDescription,
  ExportTableToPointInTimeCommand,
  type ExportTableToPointInTimeCommandInput,
} from '@aws-sdk/client-dynamodb';
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';

export interface ExportsUnderTest {
  /** In one region; must be allowed everything. */
  readonly dynamodb: DynamoDBClient;
  readonly s3: S3Client;
  /** With point-in-time recovery; keyed by the strings `pk` and `sk`. */
  readonly tableArn: string;
  /** Without. */
  readonly unprotectedTableArn: string;
  readonly bucket: string;
  /** ARN of a customer's key in the bucket's region. */
  readonly keyArn: string;
  /** How often an export that is under way is asked after, in ms. */
  readonly pollMs: number;
  /** Unix ms, as DynamoDB has it. */
  now(): number;
  /** Lets so much time pass. */
  pass(ms: number): Promise<void>;
}

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
/** Longer than the latest restorable time trails now. */
export const LAG = 6 * MINUTE;

type Line = Readonly<Record<string, unknown>>;
interface DataFile {
  readonly itemCount: number;
  readonly md5Checksum: string;
  readonly etag: string;
  readonly dataFileS3Key: string;
}

/** A finished export with all its files. */
export interface ReadExport {
  readonly description: ExportDescription;
  readonly summary: Readonly<Record<string, unknown>>;
  readonly files: readonly DataFile[];
  readonly lines: readonly Line[];
}

/** Asks for an export and waits for its end. */
export async function exported(
  subject: ExportsUnderTest,
  input: Partial<ExportTableToPointInTimeCommandInput> = {},
): Promise<ExportDescription> {
  const { dynamodb, tableArn, bucket, pollMs } = subject;
  const { ExportDescription: started } = await dynamodb.send(
    new ExportTableToPointInTimeCommand({
      TableArn: tableArn,
      S3Bucket: bucket,
      S3Prefix: randomUUID(),
      ...input,
    }),
  );
  assert.equal(started?.ExportStatus, 'IN_PROGRESS');
  for (;;) {
    await sleep(pollMs);
    const { ExportDescription: found } = await dynamodb.send(
      new DescribeExportCommand({ ExportArn: started.ExportArn }),
    );
    if (found && found.ExportStatus !== 'IN_PROGRESS') return found;
  }
}

/** Reads a finished export as a restore would, and checks everything its files say of each other. */
export async function readExport(
  { s3 }: ExportsUnderTest,
  description: ExportDescription,
): Promise<ReadExport> {
  assert.equal(description.ExportStatus, 'COMPLETED', description.FailureMessage);
  const { S3Bucket: Bucket, ExportManifest: manifest = '' } = description;
  const bytesOf = async (Key: string) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };
  const checked = async (key: string) => {
    const [bytes, md5] = await Promise.all([bytesOf(key), bytesOf(key.replace(/\.json$/, '.md5'))]);
    assert.equal(md5.toString(), hash('md5', bytes, 'base64'), key);
    return bytes.toString();
  };
  const summary = JSON.parse(await checked(manifest));
  const files: DataFile[] = (await checked(summary.manifestFilesS3Key))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  const lines = await Promise.all(
    files.map(async ({ dataFileS3Key, md5Checksum, itemCount }) => {
      const bytes = await bytesOf(dataFileS3Key);
      assert.equal(hash('md5', bytes, 'base64'), md5Checksum, dataFileS3Key);
      const found = gunzipSync(bytes)
        .toString()
        .split('\n')
        .filter((line) => line !== '');
      assert.equal(found.length, itemCount, dataFileS3Key);
      return found.map((line): Line => JSON.parse(line));
    }),
  );
  const count = files.reduce((sum, { itemCount }) => sum + itemCount, 0);
  assert.equal(summary.itemCount, count);
  assert.equal(description.ItemCount, count);
  return { description, summary, files, lines: lines.flat() };
}

/** Asks for an export and does not wait for it. */
export function asked(
  { dynamodb, tableArn, bucket }: ExportsUnderTest,
  input: Partial<ExportTableToPointInTimeCommandInput> = {},
) {
  return dynamodb.send(
    new ExportTableToPointInTimeCommand({ TableArn: tableArn, S3Bucket: bucket, ...input }),
  );
}

/** A span of an incremental export, as a request has it. */
export function span(from: Date, to?: Date, ExportViewType?: 'NEW_IMAGE' | 'NEW_AND_OLD_IMAGES') {
  return {
    ExportType: 'INCREMENTAL_EXPORT' as const,
    IncrementalExportSpecification: {
      ExportFromTime: from,
      ExportToTime: to,
      ...(ExportViewType && { ExportViewType }),
    },
  };
}

/** The next whole second. */
export function secondAfter(ms: number): Date {
  return new Date(Math.ceil(ms / 1_000) * 1_000);
}
