// The restore function at work on a queue in memory that delivers in any order, late and twice, and whose workers die on
// the way: as one turn of a dice says.

import type { TaskQueue } from '../../bin/restore/queue.ts';
import type { Generation } from '../../lambdas/core/admission.ts';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import { createRestore } from '../../lambdas/routes/restore.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { Recorder } from '../lambdas/functions.ts';
import type { MemoryBucket } from './restore-world.ts';

/** What becomes of a delivery. */
export type Fate = 'well' | 'again' | 'late' | 'killed' | 'busy' | 'silent';

interface Message {
  readonly id: string;
  readonly body: string;
  received: number;
}

/** As often as the queue of the template delivers a message (lib/constructs/restore-queue.ts). */
const DELIVERIES_MAX = 3;
const PUTS_UNTIL_KILLED = 3;

class KilledError extends Error {}

export class WorkersWorld implements TaskQueue {
  readonly table = new Map<string, ExportedItem>();
  readonly waiting: Message[] = [];
  readonly aside: Message[] = [];
  readonly telemetry = new Recorder();
  generation: Generation | undefined = { status: 'restoring', restoreEpoch: 1, restoreId: 'r-1' };
  /** Asked for every delivery. */
  fate: (body: string) => Fate = () => 'well';
  /** Which of those that wait is delivered next, 0 ≤ x < 1. */
  pick: () => number = () => 0;
  deliveries = 0;
  nowMs = 1_900_000_000_000;
  /** Ms that pass with every put. */
  putMs = 0;
  readonly #bucket: MemoryBucket;
  readonly #handlers = new Map<Fate, ReturnType<typeof createRestore>>();

  constructor(bucket: MemoryBucket) {
    this.#bucket = bucket;
  }

  async send(bodies: readonly string[]): Promise<void> {
    for (const body of bodies)
      this.waiting.push({ id: `m-${this.deliveries}-${this.waiting.length}`, body, received: 0 });
  }

  async takeAside(isOurs: (body: string) => boolean): Promise<readonly string[]> {
    const ours = this.aside.filter(({ body }) => isOurs(body));
    for (const it of ours) this.aside.splice(this.aside.indexOf(it), 1);
    return ours.map(({ body }) => body);
  }

  /** Delivers up to so many messages, one after the other. */
  async work(most = 4): Promise<void> {
    for (let n = 0; n < most && this.waiting.length > 0; n += 1) {
      const [message] = this.waiting.splice(Math.floor(this.pick() * this.waiting.length), 1);
      if (message) await this.#deliver(message);
    }
  }

  async #deliver(message: Message): Promise<void> {
    message.received += 1;
    if (message.received > DELIVERIES_MAX) {
      this.aside.push(message);
      return;
    }
    const fate = this.fate(message.body);
    // It stays out of sight for a while.
    if (fate === 'late') {
      message.received -= 1;
      this.waiting.push(message);
      return;
    }
    this.deliveries += 1;
    // Whoever had it ended without a word.
    if (fate === 'silent') {
      this.waiting.push(message);
      return;
    }
    const { batchItemFailures } = await this.#handlerOf(fate)({ Records: [recordOf(message)] });
    if (batchItemFailures.length > 0 || fate === 'again' || fate === 'killed') {
      if (fate === 'again' || fate === 'killed') message.received -= 1;
      this.waiting.push(message);
    }
  }

  /** Each fate has an environment of its own. */
  #handlerOf(fate: Fate) {
    const known = this.#handlers.get(fate);
    if (known) return known;
    let [puts, isDead] = [0, false];
    const bucket = this.#bucket;
    const handler = createRestore({
      telemetry: this.telemetry,
      now: () => this.nowMs,
      random: () => 0.5,
      wait: async () => undefined,
      generation: { current: async () => this.generation, refresh: async () => this.generation },
      store: {
        text: (key) => bucket.text(key),
        file: (key) => {
          [puts, isDead] = [0, false];
          return bucket.bytes(key);
        },
        async putJson(key, value) {
          if (isDead) throw new KilledError();
          bucket.objects.set(key, Buffer.from(JSON.stringify(value)));
        },
      },
      table: {
        putIfAbsent: async (item) => {
          puts += 1;
          this.nowMs += this.putMs;
          if (fate === 'killed' && puts >= PUTS_UNTIL_KILLED) isDead = true;
          if (isDead) throw new KilledError();
          if (fate === 'busy' && puts % 3 === 1)
            throw new StoreUnavailableError('the table is busy', { retryable: true, mayHaveLanded: false });
          const pk = (item['pk'] as { S: string }).S;
          if (!this.table.has(pk)) this.table.set(pk, item);
        },
      },
      queue: { showAgain: async () => undefined },
      maker: sha256Of(fate).slice(0, 16),
      through: undefined,
    });
    this.#handlers.set(fate, handler);
    return handler;
  }
}

function recordOf({ id, body, received }: Message) {
  return {
    ...{ messageId: id, receiptHandle: id, body, messageAttributes: {}, md5OfBody: '' },
    ...{ eventSource: 'aws:sqs', eventSourceARN: 'arn', awsRegion: 'us-east-2' },
    attributes: {
      ApproximateReceiveCount: String(received),
      SentTimestamp: '0',
      SenderId: 's',
      ApproximateFirstReceiveTimestamp: '0',
    },
  };
}
