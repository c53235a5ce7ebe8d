// The files of an export: read as DynamoDB documents them, and refused by file and line when they are anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checksumKeys,
  ExportFileError,
  exportFolder,
  parseFiles,
  parseLine,
  parseSummary,
} from '../../protocol/export-files.ts';

/** The page's own examples, for a prefix of ours.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html */
const FULL = {
  version: '2020-06-30',
  exportArn: 'arn:aws:dynamodb:us-east-1:123456789012:table/ProductCatalog/export/01695353076000-a1b2c3d4',
  startTime: '2020-11-04T07:28:34.028Z',
  endTime: '2020-11-04T07:33:43.897Z',
  tableArn: 'arn:aws:dynamodb:us-east-1:123456789012:table/ProductCatalog',
  tableId: '12345a12-abcd-123a-ab12-1234abc12345',
  exportTime: '2020-11-04T07:28:34.028Z',
  s3Bucket: 'ddb-productcatalog-export',
  s3Prefix: 'daily/2020-11-04/',
  s3SseAlgorithm: 'AES256',
  s3SseKmsKeyId: null,
  manifestFilesS3Key: 'AWSDynamoDB/01693685827463-2d8752fd/manifest-files.json',
  billedSizeBytes: 0,
  itemCount: 8,
  outputFormat: 'DYNAMODB_JSON',
};
const { exportTime: _, ...REST } = FULL;
const INCREMENTAL = {
  ...REST,
  version: '2023-08-01',
  exportFromTime: '2023-09-18T17:00:00.000Z',
  exportToTime: '2023-09-19T04:00:00.000Z',
  s3Prefix: 'hourly/2023-09-19T04Z/',
  manifestFilesS3Key: 'hourly/2023-09-19T04Z/AWSDynamoDB/01693685934212-ac809da5/manifest-files.json',
  outputView: 'NEW_AND_OLD_IMAGES',
  exportType: 'INCREMENTAL_EXPORT',
};

test('reads the summary of a full and of an incremental export, whichever way they name their files', () => {
  const full = parseSummary(JSON.stringify(FULL), 's');
  assert.equal(full.kind, 'full');
  assert.equal(full.toMs, Date.parse(FULL.exportTime));
  assert.equal(full.fromMs, undefined);
  assert.equal(full.itemCount, 8);
  assert.equal(full.manifestFilesKey, `daily/2020-11-04/${FULL.manifestFilesS3Key}`);
  assert.equal(parseSummary(JSON.stringify({ ...FULL, exportType: 'FULL_EXPORT' }), 's').kind, 'full');
  const incremental = parseSummary(JSON.stringify(INCREMENTAL), 's');
  assert.equal(incremental.kind, 'incremental');
  assert.deepEqual(
    [incremental.fromMs, incremental.toMs],
    [Date.parse(INCREMENTAL.exportFromTime), Date.parse(INCREMENTAL.exportToTime)],
  );
  assert.equal(incremental.manifestFilesKey, INCREMENTAL.manifestFilesS3Key);
  assert.equal(parseSummary(JSON.stringify({ ...FULL, s3Prefix: null }), 's').prefix, '');
});

test('the folder of an export follows from its ARN, and its checksums have been seen under several names', () => {
  assert.equal(exportFolder('daily/x/', FULL.exportArn), 'daily/x/AWSDynamoDB/01695353076000-a1b2c3d4/');
  assert.throws(
    () => exportFolder('daily/x/', FULL.tableArn),
    /expected it to end in \/export\/<id>, got arn/,
  );
  assert.deepEqual(checksumKeys('a/manifest-summary.json'), [
    'a/manifest-summary.md5',
    'a/manifest-summary.checksum',
    'a/manifest-summary.json.md5',
  ]);
});

const refused = (run: () => unknown, message: RegExp, line?: number) =>
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof ExportFileError, String(error));
    assert.match(error.message, message);
    assert.deepEqual([error.file, error.line, error.retryable], ['a/file.json', line, false]);
    return true;
  });

test('a summary that says something else is refused by field', () => {
  const cases: readonly (readonly [object | string, RegExp])[] = [
    ['{"version"', /^a\/file.json: expected JSON, got "\{\\"version\\""$/],
    ['[]', /expected a JSON object, got \[\]/],
    [{ ...FULL, outputFormat: 'ION' }, /expected DYNAMODB_JSON in outputFormat, got "ION"/],
    [{ ...FULL, exportTime: 'yesterday' }, /expected a time in exportTime, got "yesterday"/],
    [REST, /expected a text in exportTime, got nothing/],
    [{ ...FULL, itemCount: -1 }, /expected a count in itemCount, got -1/],
    [{ ...FULL, itemCount: '8' }, /expected a count in itemCount, got "8"/],
    [{ ...FULL, exportArn: 7 }, /expected a text in exportArn, got 7/],
    [{ ...FULL, exportType: 'DELTA' }, /expected FULL_EXPORT or INCREMENTAL_EXPORT in exportType/],
    [{ ...INCREMENTAL, outputView: 'NEW_IMAGE' }, /expected NEW_AND_OLD_IMAGES in outputView/],
    [{ ...INCREMENTAL, exportFromTime: null }, /expected a text in exportFromTime, got null/],
  ];
  for (const [value, message] of cases)
    refused(
      () => parseSummary(typeof value === 'string' ? value : JSON.stringify(value), 'a/file.json'),
      message,
    );
});

const FILE = {
  itemCount: 8,
  md5Checksum: 'sQMSpEILNgoQmarvDFonGQ==',
  etag: 'af83d6f217c19b8b0fff8023d8ca4716-1',
  dataFileS3Key: 'daily/x/AWSDynamoDB/01693685827463-2d8752fd/data/asdl123dasas.json.gz',
};
const OTHER = { ...FILE, itemCount: 0, dataFileS3Key: 'AWSDynamoDB/data/other.json.gz' };

test('reads the list of data files, with and without the prefix, with and without a last line break', () => {
  const text = `${JSON.stringify(FILE)}\n${JSON.stringify(OTHER)}`;
  for (const it of [text, `${text}\n`])
    assert.deepEqual(
      parseFiles(it, 'f', 'daily/x/').map(({ key, itemCount }) => [key, itemCount]),
      [
        [FILE.dataFileS3Key, 8],
        ['daily/x/AWSDynamoDB/data/other.json.gz', 0],
      ],
    );
  assert.deepEqual(parseFiles('', 'f', 'daily/x/'), []);
});

test('a list of data files that cannot be is refused by line', () => {
  const line = JSON.stringify(FILE);
  const cases: readonly (readonly [string, RegExp, number])[] = [
    [`${line}\n${line}`, /expected each data file once/, 2],
    [`${line}\n\n`, /expected JSON, got ""/, 2],
    ['\n', /expected JSON/, 1],
    [
      JSON.stringify({ ...FILE, md5Checksum: 'abc' }),
      /expected an MD5 in base64 in md5Checksum, got "abc"/,
      1,
    ],
    [
      JSON.stringify({ ...FILE, dataFileS3Key: 'daily/y/x.json.gz' }),
      /expected a data file under daily\/x\//,
      1,
    ],
    [JSON.stringify({ ...FILE, itemCount: 1.5 }), /expected a count in itemCount/, 1],
  ];
  for (const [text, message, at] of cases)
    refused(() => parseFiles(text, 'a/file.json', 'daily/x/'), message, at);
});

test('reads items and changes of every type of value', () => {
  const item = {
    pk: { S: 'R#acme#notes#n1' },
    n: { N: '-1.5E+30' },
    long: { N: '12345678901234567890123456789012345678' },
    yes: { BOOL: false },
    none: { NULL: true },
    bytes: { B: 'AQID' },
    list: { L: [{ S: '' }, { M: { deep: { L: [] } } }] },
    map: { M: {} },
    texts: { SS: ['a', 'b'] },
    numbers: { NS: ['1'] },
    blobs: { BS: ['AQ=='] },
  };
  const full = parseLine(JSON.stringify({ Item: item }), 'full', 'f', 1);
  assert.ok(full.kind === 'item');
  assert.deepEqual(full.item, item);
  const Metadata = { WriteTimestampMicros: { N: '1695097218000123' } };
  const Keys = { pk: item.pk, sk: { S: 'STATE' } };
  const insert = parseLine(JSON.stringify({ Metadata, Keys, NewImage: item }), 'incremental', 'f', 1);
  assert.ok(insert.kind === 'change');
  assert.deepEqual([insert.atMicros, insert.before, insert.after], [1_695_097_218_000_123, undefined, item]);
  const removal = parseLine(JSON.stringify({ Metadata, Keys, OldImage: item }), 'incremental', 'f', 1);
  assert.ok(removal.kind === 'change');
  assert.deepEqual([removal.before, removal.after], [item, undefined]);
});

test('a line that is none is refused by its place, and never says what a record holds', () => {
  const secret = 'a secret of somebody';
  const of = (value: unknown) => JSON.stringify({ Item: { pk: { S: 'x' }, secret: value } });
  const Keys = { pk: { S: 'x' } };
  const cases: readonly (readonly [string, 'full' | 'incremental', RegExp])[] = [
    [`{"Item":{"secret":{"S":"${secret}"`, 'full', /expected JSON, got a text of \d+ characters$/],
    [`{"Keys":{}}`, 'full', /expected an item in Item, got undefined/],
    [of({ S: 7 }), 'full', /expected a DynamoDB value in Item.secret, got an object with S$/],
    [of({}), 'full', /got an object with nothing$/],
    [of({ S: secret, N: '1' }), 'full', /got an object with S, N$/],
    [of({ Q: secret }), 'full', /got an object with Q$/],
    [of(secret), 'full', /got a text of 20 characters$/],
    [of([secret]), 'full', /got a list of 1$/],
    [of({ N: 'NaN' }), 'full', /Item.secret/],
    [of({ N: '' }), 'full', /Item.secret/],
    [of({ NULL: false }), 'full', /Item.secret/],
    [of({ B: '%' }), 'full', /Item.secret/],
    [of({ SS: [] }), 'full', /Item.secret/],
    [of({ SS: ['a', 'a'] }), 'full', /Item.secret/],
    [of({ L: [{ S: secret }, secret] }), 'full', /Item.secret/],
    [of({ M: { deep: { S: null } } }), 'full', /Item.secret.deep/],
    ['{"Item":[]}', 'full', /expected an item in Item, got a list of 0/],
    [JSON.stringify({ Keys }), 'incremental', /expected an item in Metadata/],
    [
      JSON.stringify({ Keys, Metadata: {} }),
      'incremental',
      /expected microseconds in Metadata.WriteTimestampMicros/,
    ],
    [
      JSON.stringify({ Metadata: { WriteTimestampMicros: { N: '1' } } }),
      'incremental',
      /expected an item in Keys/,
    ],
    [
      JSON.stringify({ Keys, Metadata: { WriteTimestampMicros: { N: '1' } }, NewImage: null }),
      'incremental',
      /expected an item in NewImage/,
    ],
  ];
  for (const [text, kind, message] of cases) {
    refused(() => parseLine(text, kind, 'a/file.json', 7), message, 7);
    assert.throws(
      () => parseLine(text, kind, 'a/file.json', 7),
      (error: Error) => !error.message.includes(secret),
    );
  }
});

test('whatever a file holds, it is read or refused by its name', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((json) => `{"Item":${json}}`),
  );
  fc.assert(
    fc.property(texts, fc.constantFrom('full', 'incremental'), (text, kind) => {
      try {
        parseLine(text, kind as 'full', 'file', 3);
      } catch (error) {
        assert.ok(error instanceof ExportFileError && error.message.startsWith('file, line 3: expected'));
      }
    }),
    { numRuns: 300 },
  );
});
