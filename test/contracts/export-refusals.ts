// How exports are refused and when one is another's: tokens, times, parameters, and what goes wrong on the way. As an
// ordinary SDK sees it; runs on whatever answers to DynamoDB's and S3's API.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  DescribeContinuousBackupsCommand,
  DescribeExportCommand,
  type ExportTableToPointInTimeCommandInput,
} from '@aws-sdk/client-dynamodb';
import {
  asked,
  secondAfter as at,
  type ExportsUnderTest,
  exported,
  HOUR,
  LAG,
  MINUTE,
  span,
} from './exports-subject.ts';

/** @param subject is asked for inside the cases */
export function exportRefusalsContract(subject: () => ExportsUnderTest): void {
  const tableName = () => subject().tableArn.split('/')[1];
  const ask = (input: Partial<ExportTableToPointInTimeCommandInput> = {}) => asked(subject(), input);

  describe('what is asked for twice', () => {
    test('with one token is one export, and with anything else in it a conflict', async () => {
      const ClientToken = randomUUID();
      const first = await exported(subject(), { ClientToken, S3Prefix: 'token' });
      const again = await ask({ ClientToken, S3Prefix: 'token' });
      assert.equal(again.ExportDescription?.ExportArn, first.ExportArn);
      assert.equal(again.ExportDescription?.ClientToken, ClientToken);
      const conflict = {
        name: 'ExportConflictException',
        message: 'Export conflict: Duplicate request detected with conflicting parameters',
      };
      await assert.rejects(ask({ ClientToken, S3Prefix: 'other' }), conflict);
      await assert.rejects(ask({ ClientToken, S3Prefix: 'token', S3SseAlgorithm: 'KMS' }), conflict);
      const both = await Promise.all([1, 2].map(() => ask({ ClientToken: `${ClientToken}2` })));
      assert.equal(new Set(both.map((answer) => answer.ExportDescription?.ExportArn)).size, 1);
    });

    test('without a token is two', async () => {
      const [one, two] = await Promise.all([exported(subject()), exported(subject())]);
      assert.notEqual(one.ExportArn, two.ExportArn);
    });

    test('after eight hours is another', async () => {
      const ClientToken = randomUUID();
      const first = await exported(subject(), { ClientToken, S3Prefix: 'token' });
      await subject().pass(8 * HOUR - 10 * MINUTE);
      const still = await ask({ ClientToken, S3Prefix: 'token' });
      assert.equal(still.ExportDescription?.ExportArn, first.ExportArn);
      await subject().pass(11 * MINUTE);
      const later = await exported(subject(), { ClientToken, S3Prefix: 'token' });
      assert.notEqual(later.ExportArn, first.ExportArn);
    });
  });

  describe('times', () => {
    const badTime = (message: RegExp) => ({ name: 'InvalidExportTimeException', message });
    const now = () => subject().now();
    const ago = (ms: number) => at(now() - ms);

    test('what point-in-time recovery reaches is told, and trails now', async () => {
      const { ContinuousBackupsDescription: told } = await subject().dynamodb.send(
        new DescribeContinuousBackupsCommand({ TableName: tableName() }),
      );
      const reach = told?.PointInTimeRecoveryDescription;
      assert.equal(reach?.PointInTimeRecoveryStatus, 'ENABLED');
      assert.ok(Number(reach?.EarliestRestorableDateTime) <= now());
      const lag = now() - Number(reach?.LatestRestorableDateTime);
      assert.ok(lag > 0 && lag <= LAG, `${lag} ms`);
    });

    test('a full export of the future, of before recovery began, or of just now is refused', async () => {
      await assert.rejects(ask({ ExportTime: at(now() + HOUR) }), badTime(/^Export Time is invalid$/));
      await assert.rejects(ask({ ExportTime: ago(40 * 24 * HOUR) }), badTime(/^Export Time is invalid$/));
      await assert.rejects(
        ask({ ExportTime: ago(10_000) }),
        badTime(/^Point in Time Recovery is not available for specified export time$/),
      );
    });

    test('an incremental export’s span is 15 minutes to 24 hours, and within reach', async () => {
      await subject().pass(26 * HOUR);
      const edge = at(now() - LAG);
      const before = (ms: number) => new Date(edge.getTime() - ms);
      for (const [from, to, message] of [
        [ago(40 * 24 * HOUR), undefined, /from time cannot be less than the table creation time/],
        [before(HOUR), at(now() + HOUR), /to time cannot be greater than the current time/],
        [edge, before(HOUR), /from time should not be greater or equal/],
        [before(HOUR), ago(10_000), /Point in Time Recovery is not available/],
        [before(15 * MINUTE - 1_000), edge, /is less than 15 minutes/],
        [before(24 * HOUR + 1_000), edge, /is greater than 24 hours/],
      ] as const)
        await assert.rejects(ask(span(from, to)), badTime(message), String(message));
      for (const ms of [15 * MINUTE, 24 * HOUR])
        assert.equal((await exported(subject(), span(before(ms), edge))).ExportStatus, 'COMPLETED');
    });
  });

  describe('refusals', () => {
    const invalid = (message: RegExp) => ({ name: 'ValidationException', message });

    test('a table without point-in-time recovery, none, another account’s, none at all', async () => {
      const { tableArn, unprotectedTableArn } = subject();
      const off = { name: 'PointInTimeRecoveryUnavailableException' };
      await assert.rejects(ask({ TableArn: unprotectedTableArn }), off);
      const { ContinuousBackupsDescription: told } = await subject().dynamodb.send(
        new DescribeContinuousBackupsCommand({ TableName: unprotectedTableArn.split('/')[1] }),
      );
      assert.equal(told?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus, 'DISABLED');
      const [, region = ''] = /:dynamodb:([^:]+):/.exec(tableArn) ?? [];
      for (const TableArn of [`${tableArn}-none`, tableArn.replace(region, 'eu-west-1')])
        await assert.rejects(ask({ TableArn }), { name: 'TableNotFoundException' });
      await assert.rejects(
        subject().dynamodb.send(new DescribeContinuousBackupsCommand({ TableName: 'none' })),
        { name: 'TableNotFoundException' },
      );
      const other = tableArn.replace(/:\d{12}:/, ':999999999999:');
      await assert.rejects(ask({ TableArn: other }), { name: 'AccessDeniedException' });
      await assert.rejects(ask({ TableArn: 'records' }), invalid(/tableArn is not a valid ARN/));
      await assert.rejects(ask({ TableArn: `${tableArn}/index/feed` }), invalid(/Table ARN is invalid/));
    });

    test('parameters that do not read, or do not go together', async () => {
      const incremental = { ExportFromTime: at(subject().now() - HOUR) };
      for (const [input, message] of [
        [{ S3Bucket: 'arn:aws:s3:::b' }, /'s3Bucket' failed to satisfy constraint/],
        [{ S3BucketOwner: 'me' }, /'s3BucketOwner' failed to satisfy constraint/],
        [{ S3SseAlgorithm: 'aws:kms' }, /'s3SseAlgorithm' .* enum value set: \[AES256, KMS\]/],
        [{ S3SseKmsKeyId: subject().keyArn }, /KMS Key Id is not supported for this encryption type/],
        [{ ExportType: 'PARTIAL_EXPORT' }, /'exportType' failed to satisfy constraint/],
        [{ ExportFormat: 'CSV' }, /'exportFormat' failed to satisfy constraint/],
        [{ ExportType: 'INCREMENTAL_EXPORT' }, /Incremental Export Specification expected/],
        [{ IncrementalExportSpecification: incremental }, /Export Type expected to be Incremental/],
        [
          { ExportType: 'FULL_EXPORT', IncrementalExportSpecification: incremental },
          /Incremental Export Specification should not be provided/,
        ],
        [
          { ExportType: 'INCREMENTAL_EXPORT', IncrementalExportSpecification: {} },
          /ExportFromTime must be provided/,
        ],
        [
          {
            ExportType: 'INCREMENTAL_EXPORT',
            IncrementalExportSpecification: { ...incremental, ExportViewType: 'NEW_IMAGES' },
          },
          /'incrementalExportSpecification.exportViewType' failed to satisfy constraint/,
        ],
      ] as const)
        await assert.rejects(
          ask(input as Partial<ExportTableToPointInTimeCommandInput>),
          invalid(message),
          String(message),
        );
    });

    test('what goes wrong while it is written fails it, in S3’s words', async () => {
      for (const [input, code] of [
        [{ S3Bucket: 'no-such-bucket' }, 'S3NoSuchBucket'],
        [{ S3BucketOwner: '999999999999' }, 'S3AccessDenied'],
        [{ S3SseAlgorithm: 'KMS', S3SseKmsKeyId: `${subject().keyArn}0` }, 'KmsNotFoundException'],
      ] as const) {
        const failed = await exported(subject(), input);
        assert.equal(failed.ExportStatus, 'FAILED');
        assert.equal(failed.FailureCode, code);
        assert.match(String(failed.FailureMessage), /\(Service: Amazon S3; Status Code: \d+; Error Code: /);
        assert.ok(failed.EndTime);
        assert.equal(failed.ExportManifest, undefined);
      }
    });

    test('an export that nobody asked for', async () => {
      const describe_ = (ExportArn: string) =>
        subject().dynamodb.send(new DescribeExportCommand({ ExportArn }));
      const { tableArn } = subject();
      await assert.rejects(describe_(`${tableArn}/export/01700000000000-0a0a0a0a`), {
        name: 'ExportNotFoundException',
      });
      await assert.rejects(describe_(tableArn), invalid(/Invalid Export ARN/));
    });
  });
}
