// The exporter port on DynamoDB: `ExportTableToPointInTime` of the Region's own replica. It reads no capacity of the
// table, and works on without the other Regions.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.HowItWorks.html
import {
  DescribeContinuousBackupsCommand,
  DescribeExportCommand,
  type DynamoDBClient,
  DynamoDBServiceException,
  ExportTableToPointInTimeCommand,
  type ExportTableToPointInTimeCommandInput,
} from '@aws-sdk/client-dynamodb';
import type { ExportPlan } from '../core/backup-plan.ts';
import { asUnavailable, attempt } from './attempts.ts';
import type { Exporter, ExportTarget } from './backup-store.ts';

export interface DynamoDBExporterOptions {
  /** Made by `createDynamoDBClient`: one attempt a call. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly tableArn: string;
  /** Of one call, of which two are tried: each may be made twice. @default 10 s */
  readonly attemptMs?: number;
}

const ATTEMPT_MS = 10_000;
const ATTEMPTS = 2;

export function createDynamoDBExporter(options: DynamoDBExporterOptions): Exporter {
  const { client, tableName, tableArn, attemptMs = ATTEMPT_MS } = options;

  async function calling<T>(send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await attempt(attemptMs, send);
      } catch (error) {
        const unavailable = asUnavailable(error);
        if (tried >= ATTEMPTS || !(unavailable.retryable || unavailable.mayHaveLanded)) throw unavailable;
      }
    }
  }

  return {
    async restorable() {
      const command = new DescribeContinuousBackupsCommand({ TableName: tableName });
      const { ContinuousBackupsDescription: described } = await calling((abortSignal) =>
        client.send(command, { abortSignal }),
      );
      const { EarliestRestorableDateTime: earliest, LatestRestorableDateTime: latest } =
        described?.PointInTimeRecoveryDescription ?? {};
      return earliest && latest && { earliestMs: earliest.getTime(), latestMs: latest.getTime() };
    },

    async ask(plan, target) {
      const command = new ExportTableToPointInTimeCommand(requestOf(plan, target, tableArn));
      const { ExportDescription: described } = await calling((abortSignal) =>
        client.send(command, { abortSignal }),
      );
      if (!described?.ExportArn)
        throw new TypeError(`an export to ${plan.prefix}: expected its ARN in the answer, got none`);
      return described.ExportArn;
    },

    async progress(exportArn) {
      try {
        const command = new DescribeExportCommand({ ExportArn: exportArn });
        const { ExportDescription: described } = await calling((abortSignal) =>
          client.send(command, { abortSignal }),
        );
        const { ExportStatus: status, FailureCode: code, FailureMessage: message } = described ?? {};
        if (status === 'COMPLETED') return { state: 'completed' };
        return status === 'FAILED' ? { state: 'failed', why: `${code}: ${message}` } : { state: 'under_way' };
      } catch (error) {
        if (isForgotten(error)) return { state: 'failed', why: 'DynamoDB does not know the export any more' };
        throw error;
      }
    },
  };
}

function requestOf(
  { kind, prefix, fromMs, toMs, clientToken }: ExportPlan,
  { bucket, keyArn, owner }: ExportTarget,
  tableArn: string,
): ExportTableToPointInTimeCommandInput {
  return {
    TableArn: tableArn,
    ClientToken: clientToken,
    S3Bucket: bucket,
    // Required for a bucket of another account; DynamoDB refuses to write when it is not that one's any more.
    ...(owner !== undefined && { S3BucketOwner: owner }),
    // It joins prefix and folder with a slash of its own.
    S3Prefix: prefix.replace(/\/$/, ''),
    S3SseAlgorithm: 'KMS',
    S3SseKmsKeyId: keyArn,
    ExportFormat: 'DYNAMODB_JSON',
    ...(kind === 'full'
      ? { ExportType: 'FULL_EXPORT', ExportTime: new Date(toMs) }
      : {
          ExportType: 'INCREMENTAL_EXPORT',
          IncrementalExportSpecification: {
            ExportFromTime: new Date(fromMs as number),
            ExportToTime: new Date(toMs),
            ExportViewType: 'NEW_AND_OLD_IMAGES',
          },
        }),
  };
}

function isForgotten(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof DynamoDBServiceException && cause.name === 'ExportNotFoundException';
}
