// One event source mapping of a queue at work: receives messages as the function's role, invokes the function with them,
// and deletes those that it took. What it did not take is left to the queue, which shows it again when its visibility
// timeout is over and puts it aside once it was received too often.
//
// Where it differs from Lambda: Lambda begins with a few pollers and adds more by the minute; here as many as are allowed
// are there at once, each with one batch at a time.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
import { isFields } from '../assembly/intrinsics.ts';
import type { InvokeResult } from './lambda.ts';
import type { QueueMapping } from './queue-mappings.ts';

export interface QueueSourceOptions {
  readonly mapping: QueueMapping;
  readonly region: string;
  /** A call to SQS, e.g. `ReceiveMessage`, as the function's role. */
  readonly call: (operation: string, input: object) => Promise<Readonly<Record<string, unknown>>>;
  /** Invokes the function; throws when it is not taken. */
  readonly invoke: (payload: string) => Promise<InvokeResult>;
  readonly onLog: (line: string) => void;
  /** Resolves after so long, or at once when the signal fires. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

interface Message {
  readonly MessageId: string;
  readonly ReceiptHandle: string;
  readonly Body: string;
  readonly MD5OfBody: string;
  readonly Attributes?: Readonly<Record<string, string>>;
}

/** As Lambda polls. */
const POLL_S = 20;
const POLL_AGAIN_MS = 1_000;

export class QueueSource {
  readonly #options: QueueSourceOptions;
  readonly #closing = new AbortController();
  /** Resolves when the last batch is over. */
  readonly #ended: Promise<unknown>;
  #lastProblem: string | undefined;

  /** Starts at once. */
  constructor(options: QueueSourceOptions) {
    this.#options = options;
    this.#ended = this.#run();
  }

  /** Lets the batches under way end. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { call, wait, mapping } = this.#options;
    const { signal } = this.#closing;
    // Lambda makes no mapping for a role that may not do this as well:
    // https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    for (let mayRead = false; !mayRead && !signal.aborted; )
      try {
        await call('GetQueueAttributes', { QueueUrl: mapping.queueUrl, AttributeNames: ['QueueArn'] });
        mayRead = true;
      } catch (problem) {
        this.#tell('cannot read its queue', problem);
        await wait(POLL_AGAIN_MS, signal);
      }
    await Promise.all(Array.from({ length: mapping.concurrencyMax }, () => this.#poll()));
  }

  async #poll(): Promise<void> {
    const { call, wait, mapping } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted)
      try {
        const { Messages: messages = [] } = await call('ReceiveMessage', {
          QueueUrl: mapping.queueUrl,
          MaxNumberOfMessages: mapping.batchSize,
          WaitTimeSeconds: POLL_S,
          AttributeNames: ['All'],
        });
        this.#lastProblem = undefined;
        const batch = messages as readonly Message[];
        if (batch.length > 0) await this.#deliver(batch);
      } catch (problem) {
        this.#tell('cannot read its queue', problem);
        await wait(POLL_AGAIN_MS, signal);
      }
  }

  async #deliver(batch: readonly Message[]): Promise<void> {
    const { mapping, call, invoke } = this.#options;
    let failed: ReadonlySet<string>;
    try {
      const { payload, functionError } = await invoke(
        JSON.stringify({ Records: batch.map((it) => this.#record(it)) }),
      );
      failed = functionError
        ? all(batch)
        : mapping.reportsItemFailures
          ? failedOf(payload, batch)
          : new Set();
    } catch (refused) {
      this.#tell('its function does not take a batch', refused);
      return;
    }
    for (const { MessageId: id, ReceiptHandle } of batch)
      if (!failed.has(id)) await call('DeleteMessage', { QueueUrl: mapping.queueUrl, ReceiptHandle });
  }

  #record({ MessageId, ReceiptHandle, Body, MD5OfBody, Attributes = {} }: Message) {
    const { mapping, region } = this.#options;
    return {
      messageId: MessageId,
      receiptHandle: ReceiptHandle,
      body: Body,
      attributes: Attributes,
      messageAttributes: {},
      md5OfBody: MD5OfBody,
      eventSource: 'aws:sqs',
      eventSourceARN: mapping.queueArn,
      awsRegion: region,
    };
  }

  /** Once, however long it goes on. */
  #tell(what: string, problem: unknown): void {
    const told = `${what}: ${problem instanceof Error ? `${problem.name}: ${problem.message}` : problem}`;
    if (told !== this.#lastProblem && !this.#closing.signal.aborted)
      this.#options.onLog(`event source mapping ${this.#options.mapping.id}: ${told}`);
    this.#lastProblem = told;
  }
}

const all = (batch: readonly Message[]) => new Set(batch.map(({ MessageId: id }) => id));

/** An answer that does not read as a list of messages of the batch fails all of it; none at all fails nothing.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting */
function failedOf(payload: string, batch: readonly Message[]): ReadonlySet<string> {
  const ids = all(batch);
  let answer: unknown;
  try {
    answer = JSON.parse(payload);
  } catch {
    return ids;
  }
  const list = isFields(answer) ? answer['batchItemFailures'] : undefined;
  if (answer === null || (isFields(answer) && (list === undefined || list === null))) return new Set();
  if (!Array.isArray(list)) return ids;
  const named = list.map((it: unknown) => (isFields(it) ? String(it['itemIdentifier'] ?? '') : ''));
  return named.every((id) => ids.has(id)) ? new Set(named) : ids;
}
