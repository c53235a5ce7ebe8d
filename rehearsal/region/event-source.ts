// One event source mapping at work: reads its stream as the function's role, leaves out what its filter refuses, invokes
// the function with batches in the stream's order, and goes on only when a batch is done with. How far it is, it tells
// whoever starts it, so that it goes on there after its region was gone: at least once, never less.
//
// Where it differs from Lambda: it reads one shard, since the rehearsal's streams have one, with one batch at a time
// whatever `ParallelizationFactor` says. AWS does not say how fast it tries a failed batch again; here it is after
// 250 ms, doubled each time up to 30 s.
import { isFields } from '../assembly/intrinsics.ts';
import type { EventSourceMapping } from './event-source-mappings.ts';
import type { InvokeResult } from './lambda.ts';

export interface EventSourceOptions {
  readonly mapping: EventSourceMapping;
  /** A call to DynamoDB Streams, e.g. `GetRecords`, as the function's role. */
  readonly call: (operation: string, input: object) => Promise<Readonly<Record<string, unknown>>>;
  /** Invokes the function; throws when it is not taken. */
  readonly invoke: (payload: string) => Promise<InvokeResult>;
  /** Sequence number up to which an earlier run was done; undefined starts where the mapping says. */
  readonly checkpoint?: string;
  /** Told every time a batch is done with. */
  readonly onCheckpoint: (sequenceNumber: string) => void;
  readonly onLog: (line: string) => void;
  /** Resolves after so long, or at once when the signal fires. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Unix ms. */
  readonly now: () => number;
}

/** A record as it goes into an event. */
interface Entry {
  readonly sequenceNumber: string;
  /** Unix ms. */
  readonly at: number;
  readonly text: string;
}

/** "Lambda polls shards … four times per second": https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html */
const IDLE_MS = 250;
const RETRY_MS = 250;
const RETRY_MS_MAX = 30_000;
/** After a read that failed. */
const READ_AGAIN_MS = 1_000;
/** Room for what surrounds the records in an event of at most 6 MB. */
const EVENT_BYTES_MAX = 6 * 1024 * 1024 - 1_024;

export class EventSource {
  readonly #options: EventSourceOptions;
  readonly #closing = new AbortController();
  /** Resolves when the last batch is over. */
  readonly #ended: Promise<void>;
  /** The last record read, and the last that is done with. */
  #position: string | undefined;
  #checkpoint: string | undefined;
  #fromOldest = false;
  #iterator: string | undefined;
  #pending: Entry[] = [];
  #pendingSince = 0;
  #lastProblem: string | undefined;

  /** Starts at once. */
  constructor(options: EventSourceOptions) {
    this.#options = options;
    this.#position = options.checkpoint;
    this.#checkpoint = options.checkpoint;
    this.#ended = this.#run();
  }

  /** Lets the batch under way end. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ended;
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        const found = await this.#read();
        await this.#deliverDue();
        this.#lastProblem = undefined;
        if (!found) await this.#wait(IDLE_MS);
      } catch (problem) {
        await this.#recover(problem);
      }
    }
  }

  /** Whether there was anything. */
  async #read(): Promise<boolean> {
    const { mapping, call, now } = this.#options;
    this.#iterator ??= await this.#iteratorHere();
    const answer = await call('GetRecords', { ShardIterator: this.#iterator });
    const records = (answer['Records'] ?? []) as readonly unknown[];
    for (const record of records) {
      const entry = entryOf(record, mapping.streamArn);
      this.#position = entry.sequenceNumber;
      if (!mapping.accepts(record)) continue;
      if (this.#pending.length === 0) this.#pendingSince = now();
      this.#pending.push(entry);
    }
    this.#iterator = String(answer['NextShardIterator']);
    return records.length > 0;
  }

  /** Where reading goes on, or begins. */
  async #iteratorHere(): Promise<string> {
    const { mapping, call } = this.#options;
    const { streamArn: StreamArn, startingPosition } = mapping;
    // Lambda makes no mapping for a role that may not do all four:
    // https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
    await call('ListStreams', { TableName: StreamArn.split('/')[1] });
    const { StreamDescription: described } = await call('DescribeStream', { StreamArn });
    const shards = isFields(described) ? described['Shards'] : undefined;
    const shard: unknown = Array.isArray(shards) ? shards[0] : undefined;
    const ShardId = isFields(shard) ? shard['ShardId'] : undefined;
    const from =
      this.#position !== undefined && !this.#fromOldest
        ? { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: this.#position }
        : { ShardIteratorType: this.#fromOldest ? 'TRIM_HORIZON' : startingPosition };
    const { ShardIterator } = await call('GetShardIterator', { StreamArn, ShardId, ...from });
    this.#fromOldest = false;
    return String(ShardIterator);
  }

  async #recover(problem: unknown): Promise<void> {
    this.#iterator = undefined;
    const name = problem instanceof Error ? problem.name : String(problem);
    if (name === 'ExpiredIteratorException') return;
    if (name === 'TrimmedDataAccessException') this.#fromOldest = true;
    const told = problem instanceof Error ? `${name}: ${problem.message}` : name;
    if (told !== this.#lastProblem && !this.#closed) this.#log(`cannot read its stream: ${told}`);
    this.#lastProblem = told;
    await this.#wait(READ_AGAIN_MS);
  }

  /** Delivers full batches, and one that is not when it has waited long enough. */
  async #deliverDue(): Promise<void> {
    const { mapping, now } = this.#options;
    const isDue = () =>
      this.#pending.length >= mapping.batchSize ||
      (this.#pending.length > 0 && now() - this.#pendingSince >= mapping.batchWindowMs);
    while (isDue() && !this.#closed) {
      const batch = this.#takeBatch();
      await this.#deliver(batch);
    }
    // What the filter refused is done with, too.
    if (this.#pending.length === 0 && this.#position !== undefined) this.#reached(this.#position);
  }

  #reached(sequenceNumber: string): void {
    if (this.#closed || sequenceNumber === this.#checkpoint) return;
    this.#checkpoint = sequenceNumber;
    this.#options.onCheckpoint(sequenceNumber);
  }

  #takeBatch(): readonly Entry[] {
    let bytes = 0;
    let size = 0;
    for (const { text } of this.#pending.slice(0, this.#options.mapping.batchSize)) {
      bytes += Buffer.byteLength(text) + 1;
      if (size > 0 && bytes > EVENT_BYTES_MAX) break;
      size += 1;
    }
    return this.#pending.splice(0, size);
  }

  /** Resolves when every record of the batch was taken by the function, or given up. */
  async #deliver(whole: readonly Entry[]): Promise<void> {
    const { mapping } = this.#options;
    let batch = whole;
    let failures = 0;
    while (!this.#closed) {
      batch = this.#youngEnough(batch);
      if (batch.length === 0) return;
      const { done, counts } = await this.#attempt(batch);
      const last = batch[done - 1];
      if (last) this.#reached(last.sequenceNumber);
      if (done === batch.length) return;
      batch = batch.slice(done);
      failures = done > 0 ? 0 : failures + (counts ? 1 : 0);
      if (failures > mapping.retriesMax) {
        this.#log(
          `gives up ${batch.length} records after ${failures} attempts, from ${batch[0]?.sequenceNumber}`,
        );
        return;
      }
      // Halves are no retries: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
      if (mapping.bisects && done === 0 && counts && batch.length > 1) {
        const half = Math.ceil(batch.length / 2);
        await this.#deliver(batch.slice(0, half));
        batch = batch.slice(half);
        failures = 0;
        continue;
      }
      await this.#wait(Math.min(RETRY_MS * 2 ** Math.max(0, failures - 1), RETRY_MS_MAX));
    }
  }

  /** How many records from the first are done; and, if not all, whether that was the function's own failing. */
  async #attempt(batch: readonly Entry[]): Promise<{ readonly done: number; readonly counts: boolean }> {
    const { mapping, invoke } = this.#options;
    try {
      const { payload, functionError } = await invoke(
        `{"Records":[${batch.map(({ text }) => text).join(',')}]}`,
      );
      if (functionError) return { done: 0, counts: true };
      const done = mapping.reportsItemFailures ? this.#doneOf(payload, batch) : batch.length;
      return { done, counts: true };
    } catch (refused) {
      this.#log(
        `its function does not take a batch: ${refused instanceof Error ? refused.message : refused}`,
      );
      return { done: 0, counts: false };
    }
  }

  /**
   * Everything before the first record that the function names as failed. An answer that does not read as a list of
   * records is a failure of all: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
   */
  #doneOf(payload: string, batch: readonly Entry[]): number {
    const answer: unknown = JSON.parse(payload);
    const failed = isFields(answer) ? (answer['batchItemFailures'] ?? []) : [];
    const places = (Array.isArray(failed) ? failed : [undefined]).map((failure: unknown) =>
      batch.findIndex(
        ({ sequenceNumber }) => isFields(failure) && failure['itemIdentifier'] === sequenceNumber,
      ),
    );
    if (places.includes(-1))
      this.#log(`batchItemFailures: expected sequence numbers of the batch, got ${payload}`);
    return Math.max(0, Math.min(batch.length, ...places));
  }

  #youngEnough(batch: readonly Entry[]): readonly Entry[] {
    const { mapping, now } = this.#options;
    const oldest = now() - mapping.recordAgeMsMax;
    const young = batch.filter(({ at }) => at >= oldest);
    if (young.length < batch.length)
      this.#log(
        `gives up ${batch.length - young.length} records older than ${mapping.recordAgeMsMax / 1_000} s`,
      );
    return young;
  }

  #wait(ms: number): Promise<void> {
    return this.#options.wait(ms, this.#closing.signal);
  }

  #log(what: string): void {
    this.#options.onLog(`event source mapping ${this.#options.mapping.id}: ${what}`);
  }
}

/** A stream record with what Lambda adds to it. */
function entryOf(record: unknown, eventSourceARN: string): Entry {
  const change = isFields(record) ? record['dynamodb'] : undefined;
  if (!isFields(record) || !isFields(change))
    throw new TypeError(`expected a stream record, got ${JSON.stringify(record)}`);
  return {
    sequenceNumber: String(change['SequenceNumber']),
    at: Number(change['ApproximateCreationDateTime']) * 1_000,
    text: JSON.stringify({ ...record, eventSourceARN }),
  };
}
