// Event source mappings: what a function gets of a stream, and what becomes of what it fails at.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { AssemblyError } from '../../rehearsal/assembly/assembly.ts';
import { ServiceError } from '../../rehearsal/aws/service-error.ts';
import { parsePattern } from '../../rehearsal/region/event-filter.ts';
import { EventSource } from '../../rehearsal/region/event-source.ts';
import { type EventSourceMapping, mappingsOf } from '../../rehearsal/region/event-source-mappings.ts';
import type { InvokeResult } from '../../rehearsal/region/lambda.ts';
import { deploymentOf } from './fixtures/assembly.ts';

const STREAM = 'arn:aws:dynamodb:us-east-2:000000000000:table/records/stream/2020-01-01T00:00:00.000';
const mappingTemplate = (properties: object) => ({
  Resources: {
    Mapping: {
      Type: 'AWS::Lambda::EventSourceMapping',
      Properties: {
        FunctionName: 'archiver:live',
        EventSourceArn: STREAM,
        StartingPosition: 'TRIM_HORIZON',
        ...properties,
      },
    },
  },
});
const read = (t: TestContext, properties: object = {}) =>
  mappingsOf(deploymentOf(t, mappingTemplate(properties)), 'us-east-2');

test('a mapping is what its template says, with Lambda’s defaults for the rest', (t) => {
  const { mappings, notRehearsed } = read(t);
  assert.partialDeepStrictEqual(mappings[0], {
    functionName: 'archiver:live',
    streamArn: STREAM,
    batchSize: 100,
    batchWindowMs: 0,
    bisects: false,
    reportsItemFailures: false,
    retriesMax: Number.POSITIVE_INFINITY,
    recordAgeMsMax: 86_400_000,
  });
  assert.deepEqual(notRehearsed, []);
  const given = read(t, {
    BatchSize: 7,
    MaximumBatchingWindowInSeconds: 2,
    BisectBatchOnFunctionError: true,
    FunctionResponseTypes: ['ReportBatchItemFailures'],
    MaximumRetryAttempts: 3,
    MaximumRecordAgeInSeconds: 60,
  }).mappings[0];
  assert.partialDeepStrictEqual(given, {
    batchSize: 7,
    batchWindowMs: 2_000,
    bisects: true,
    reportsItemFailures: true,
    retriesMax: 3,
    recordAgeMsMax: 60_000,
  });
  assert.deepEqual(read(t, { Enabled: false }).mappings, []);
});

test('what is not played is said, what Lambda would not take is refused', (t) => {
  const settings = read(t, { ParallelizationFactor: 2, DestinationConfig: {} }).notRehearsed;
  assert.deepEqual(
    settings.map((line) => line.split(' ').at(-1)),
    ['ParallelizationFactor', 'DestinationConfig'],
  );
  const queue = read(t, { EventSourceArn: 'arn:aws:kinesis:us-east-2:000000000000:queue' });
  assert.match(String(queue.notRehearsed[0]), /an event source mapping of arn:aws:kinesis/);
  const refused = (properties: object, message: RegExp) =>
    assert.throws(
      () => read(t, properties),
      (error) => error instanceof AssemblyError && message.test(error.message),
    );
  refused({ BatchSize: 10_001 }, /Mapping, Properties.BatchSize: expected 1 to 10000, got 10001/);
  refused({ StartingPosition: 'AT_TIMESTAMP' }, /StartingPosition: expected TRIM_HORIZON or LATEST/);
  refused(
    { FilterCriteria: { Filters: [{ Pattern: '{"a":[{"cidr":"10.0.0.0/8"}]}' }] } },
    /Filters\[0\]: pattern\.a\[0\]: the rehearsal knows values, exists, prefix.* got \{"cidr"/,
  );
});

test('patterns fit what AWS says they fit', () => {
  const image = (outbox: object) => ({
    eventName: 'MODIFY',
    dynamodb: { NewImage: { pk: { S: 'R#a' }, outbox } },
  });
  const list = image({ L: [{ S: 'x' }, { S: 'y' }] });
  const fits = (pattern: object, event: unknown = list) => parsePattern(JSON.stringify(pattern))(event);
  const inOutbox = (inside: object) => ({ dynamodb: { NewImage: { outbox: inside } } });
  assert.equal(fits({ eventName: ['INSERT', 'MODIFY'] }), true);
  assert.equal(fits({ eventName: ['INSERT'] }), false);
  assert.equal(fits(inOutbox({ L: { S: [{ exists: true }] } })), true);
  assert.equal(fits(inOutbox({ L: { S: [{ exists: true }] } }), image({ L: [] })), false);
  // A list or a map is no leaf: what "exists" there is what is in it.
  assert.equal(fits(inOutbox({ L: [{ exists: true }] })), false);
  assert.equal(fits({ dynamodb: { NewImage: { outbox: [{ exists: true }] } } }), false);
  assert.equal(fits({ dynamodb: { OldImage: { pk: { S: [{ exists: false }] } } } }), true);
  assert.equal(fits({ dynamodb: { NewImage: { pk: { S: [{ prefix: 'R#' }] } } } }), true);
  assert.equal(fits({ dynamodb: { NewImage: { pk: { S: [{ suffix: '#b' }, 'R#a'] } } } }), true);
  assert.equal(fits({ dynamodb: { NewImage: { pk: { S: [{ 'anything-but': ['R#a'] }] } } } }), false);
  assert.equal(fits({ eventName: ['MODIFY'], dynamodb: { NewImage: { pk: { S: ['other'] } } } }), false);
  assert.equal(
    fits({ $or: [{ eventName: ['INSERT'] }, { dynamodb: { NewImage: { pk: { S: ['R#a'] } } } }] }),
    true,
  );
  assert.equal(fits({ eventName: [null] }, { eventName: null }), true);
  for (const wrong of [
    'no JSON',
    '[]',
    '{"a":"b"}',
    '{"a":[{"exists":"yes"}]}',
    '{"a":[{"prefix":"x","suffix":"y"}]}',
  ])
    assert.throws(() => parsePattern(wrong), RangeError, wrong);
});

const MAPPING: EventSourceMapping = {
  id: 'mapping',
  arn: 'arn:mapping',
  functionName: 'archiver',
  streamArn: STREAM,
  batchSize: 100,
  batchWindowMs: 0,
  startingPosition: 'TRIM_HORIZON',
  bisects: false,
  reportsItemFailures: false,
  retriesMax: Number.POSITIVE_INFINITY,
  recordAgeMsMax: 86_400_000,
  accepts: () => true,
};

interface Setup extends Partial<EventSourceMapping> {
  readonly checkpoint?: string;
  /** What the function answers to the sequence numbers of a batch. */
  readonly answer?: (numbers: readonly string[], attempt: number) => unknown;
  /** What reading the stream fails with, before each call that is named here. */
  readonly failures?: readonly (string | undefined)[];
}

/** A function's answer that is its failure. */
const FAILED = Symbol('failed');

/**
 * A mapping on a stream of records `1`, `2`, …, whose clock moves only by waiting. It runs until it has been idle for
 * `idle` waits in a row.
 */
async function run(records: number, { checkpoint, answer, failures = [], ...mapping }: Setup = {}, idle = 3) {
  const startMs = 1_000_000;
  let now = startMs;
  let reads = 0;
  let idled = 0;
  const batches: string[][] = [];
  const at: number[] = [];
  const events: string[] = [];
  const checkpoints: string[] = [];
  const lines: string[] = [];
  const calls: string[] = [];
  const over = Promise.withResolvers<void>();
  const source = new EventSource({
    mapping: { ...MAPPING, ...mapping },
    ...(checkpoint === undefined ? {} : { checkpoint }),
    async call(operation, input) {
      const given = input as Record<string, unknown>;
      const type = given['ShardIteratorType'];
      calls.push([operation, ...(type ? [type, given['SequenceNumber']] : [])].filter(Boolean).join(' '));
      const failure = operation === 'GetRecords' ? failures[reads++] : undefined;
      if (failure) throw new ServiceError(400, { __type: failure, message: 'as wanted' });
      if (operation === 'DescribeStream') return { StreamDescription: { Shards: [{ ShardId: 'one' }] } };
      if (operation === 'GetShardIterator')
        return { ShardIterator: type === 'LATEST' ? String(records) : String(given['SequenceNumber'] ?? 0) };
      const after = Number(given['ShardIterator']);
      // Five at a time, so that a batch may need several reads.
      const found = Array.from({ length: Math.min(5, records - after) }, (_, index) => ({
        eventName: 'INSERT',
        dynamodb: { SequenceNumber: String(after + 1 + index), ApproximateCreationDateTime: startMs / 1_000 },
      }));
      if (found.length > 0) idled = 0;
      return { Records: found, NextShardIterator: String(after + found.length) };
    },
    async invoke(payload): Promise<InvokeResult> {
      idled = 0;
      const { Records } = JSON.parse(payload) as { Records: { dynamodb: { SequenceNumber: string } }[] };
      const numbers = Records.map(({ dynamodb }) => dynamodb.SequenceNumber);
      batches.push(numbers);
      at.push(now - startMs);
      events.push(payload);
      const answered = answer?.(numbers, batches.length);
      if (answered instanceof Error) throw answered;
      return answered === FAILED
        ? { payload: '{}', functionError: { errorType: 'Error', errorMessage: 'no' } }
        : { payload: JSON.stringify(answered ?? null) };
    },
    onCheckpoint: (number) => checkpoints.push(number),
    onLog: (line) => lines.push(line),
    async wait(ms) {
      now += ms;
      idled += 1;
      if (idled >= idle) over.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    },
    now: () => now,
  });
  await over.promise;
  await source.close();
  return { batches, at, events, checkpoints, lines, calls };
}
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => String(from + at));
const failing = (...sequence: string[]) => ({
  batchItemFailures: sequence.map((itemIdentifier) => ({ itemIdentifier })),
});

test('records come in order, as events say them, and each batch is remembered when it is done', async () => {
  const { batches, events, checkpoints, calls } = await run(7);
  assert.deepEqual(batches, [numbers(1, 5), numbers(6, 7)]);
  assert.deepEqual(JSON.parse(String(events[1])).Records[0], {
    eventName: 'INSERT',
    dynamodb: { SequenceNumber: '6', ApproximateCreationDateTime: 1_000 },
    eventSourceARN: STREAM,
  });
  assert.deepEqual(checkpoints, ['5', '7']);
  assert.deepEqual(calls.slice(0, 4), [
    'ListStreams',
    'DescribeStream',
    'GetShardIterator TRIM_HORIZON',
    'GetRecords',
  ]);
});

test('batches are as large as allowed, and one that is not full waits no longer than its window', async () => {
  assert.deepEqual((await run(5, { batchSize: 2 })).batches, [['1', '2'], ['3', '4'], ['5']]);
  const { batches, at } = await run(12, { batchSize: 10, batchWindowMs: 1_000 }, 8);
  assert.deepEqual(batches, [numbers(1, 10), ['11', '12']]);
  assert.deepEqual(at, [0, 1_000]);
});

test('an event holds no more than six megabytes', async () => {
  const { batches } = await run(4, { streamArn: `${STREAM}${'x'.repeat(2_500_000)}` });
  assert.deepEqual(batches, [
    ['1', '2'],
    ['3', '4'],
  ]);
});

test('what a filter refuses is done with too', async () => {
  const even = (record: unknown) =>
    Number((record as { dynamodb: { SequenceNumber: string } }).dynamodb.SequenceNumber) % 2 === 0;
  const { batches, checkpoints } = await run(5, { accepts: even });
  assert.deepEqual(batches, [['2', '4']]);
  assert.deepEqual(checkpoints, ['4', '5']);
});

test('it goes on behind its checkpoint, or where the mapping says when there is none', async () => {
  const resumed = await run(4, { checkpoint: '2' });
  assert.deepEqual(resumed.batches, [['3', '4']]);
  assert.ok(resumed.calls.includes('GetShardIterator AFTER_SEQUENCE_NUMBER 2'));
  assert.deepEqual((await run(4, { startingPosition: 'LATEST' })).batches, []);
  assert.deepEqual((await run(4, { checkpoint: '4' })).checkpoints, [], 'nothing new, nothing told');
});

test('a batch that fails comes again, later each time, and nothing passes it', async () => {
  const { batches, at, checkpoints } = await run(
    8,
    { answer: (_, attempt) => (attempt <= 3 ? FAILED : null) },
    5,
  );
  assert.deepEqual(batches, [...Array(4).fill(numbers(1, 5)), numbers(6, 8)]);
  assert.deepEqual(at, [0, 250, 750, 1_750, 1_750]);
  assert.deepEqual(checkpoints, ['5', '8']);
});

test('a function that is throttled, or cannot be invoked, is waited for without counting it', async () => {
  const busy = new ServiceError(429, { __type: 'TooManyRequestsException', message: 'Rate Exceeded.' });
  const { batches, lines } = await run(2, { retriesMax: 0, answer: (_, n) => (n <= 2 ? busy : null) });
  assert.equal(batches.length, 3);
  assert.match(
    String(lines[0]),
    /event source mapping mapping: its function does not take a batch: Rate Exceeded/,
  );
});

test('after its retries, or too old, a batch is given up, and said so', async () => {
  const tired = await run(7, { retriesMax: 1, answer: ([first]) => (first === '1' ? FAILED : null) });
  assert.deepEqual(tired.batches, [numbers(1, 5), numbers(1, 5), numbers(6, 7)]);
  assert.match(String(tired.lines[0]), /gives up 5 records after 2 attempts, from 1$/);
  assert.deepEqual(tired.checkpoints.at(-1), '7');
  const old = await run(3, { recordAgeMsMax: 1_000, answer: () => FAILED }, 6);
  assert.match(String(old.lines.at(-1)), /gives up 3 records older than 1 s/);
});

test('with bisection a bad record is alone in the end', async () => {
  const { batches, lines } = await run(4, {
    bisects: true,
    retriesMax: 1,
    answer: (batch) => (batch.includes('3') ? FAILED : null),
  });
  assert.deepEqual(batches, [numbers(1, 4), ['1', '2'], ['3', '4'], ['3'], ['3'], ['4']]);
  assert.match(String(lines[0]), /gives up 1 records after 2 attempts, from 3$/);
});

test('with reported failures the batch goes on from the lowest of them', async () => {
  const { batches, checkpoints } = await run(5, {
    reportsItemFailures: true,
    answer: (_, attempt) => (attempt === 1 ? failing('5', '3') : attempt === 2 ? failing('3') : failing()),
  });
  assert.deepEqual(batches, [numbers(1, 5), numbers(3, 5), numbers(3, 5)]);
  assert.deepEqual(checkpoints, ['2', '5']);
});

test('an answer that names no record of the batch fails it all; one without a list is success', async () => {
  for (const wrong of [
    failing('9'),
    failing(''),
    { batchItemFailures: [{ id: '3' }] },
    { batchItemFailures: 'all' },
  ]) {
    const { batches, lines } = await run(3, {
      reportsItemFailures: true,
      answer: (_, attempt) => (attempt === 1 ? wrong : {}),
    });
    assert.deepEqual(batches, [numbers(1, 3), numbers(1, 3)], JSON.stringify(wrong));
    assert.match(String(lines[0]), /batchItemFailures: expected sequence numbers of the batch/);
  }
  for (const fine of [null, {}, { batchItemFailures: null }, { batchItemFailures: [] }]) {
    const { batches } = await run(3, { reportsItemFailures: true, answer: () => fine });
    assert.equal(batches.length, 1, JSON.stringify(fine));
  }
});

test('a stream that cannot be read is read again from where it was, and said once', async () => {
  const expired = await run(8, { failures: [undefined, 'ExpiredIteratorException'] });
  assert.deepEqual(expired.batches.flat(), numbers(1, 8));
  assert.deepEqual(expired.lines, []);
  const trimmed = await run(8, { checkpoint: '3', failures: ['TrimmedDataAccessException'] });
  assert.deepEqual(trimmed.batches.flat(), numbers(1, 8));
  assert.ok(trimmed.calls.includes('GetShardIterator TRIM_HORIZON'));
  const denied = await run(2, { failures: ['AccessDeniedException', 'AccessDeniedException'] });
  assert.deepEqual(denied.batches, [['1', '2']]);
  assert.equal(denied.lines.length, 1);
  assert.match(String(denied.lines[0]), /cannot read its stream: AccessDeniedException: as wanted/);
});
