// Whatever the network and the service do in between, once they behave everything is settled, each operation took effect
// once, and those of a key in the order they were made.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PushAnswer, PushCall } from '../../../client/sync/contract.ts';
import type { Verdict } from '../../../protocol/verdicts.ts';
import { applied, rejected } from '../queue/queues.ts';
import { deferred, setting, settled } from './world.ts';

type Fate = 'answered' | 'lost' | 'answer lost' | 'nonsense' | 'restored';
type Whim = 'applied' | 'deferred' | 'rejected';

const fates = fc.array(
  fc.constantFrom<Fate>('answered', 'answered', 'lost', 'answer lost', 'nonsense', 'restored'),
  {
    maxLength: 40,
  },
);
const whims = fc.array(fc.constantFrom<Whim>('applied', 'applied', 'applied', 'deferred', 'rejected'), {
  maxLength: 120,
});
const edits = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1, maxLength: 60 });

/** One table: what took effect, in order, and what is settled. */
class Service {
  readonly effects: string[] = [];
  readonly #settled = new Map<string, Verdict>();
  readonly #fates: Fate[];
  readonly #whims: Whim[];
  #underWay = new Set<string>();
  restoreEpoch = 1;

  constructor(fates: readonly Fate[], whims: readonly Whim[]) {
    this.#fates = [...fates];
    this.#whims = [...whims];
  }

  async push(call: PushCall, elapse: () => Promise<void>): Promise<PushAnswer> {
    const underWay = this.#underWay;
    const keys = new Set(call.operations.map(({ id }) => id));
    for (const key of keys) assert.ok(!underWay.has(key), `${key} is in two batches at once`);
    for (const key of keys) underWay.add(key);
    try {
      await elapse();
      return this.#answer(call, this.#fates.shift() ?? 'answered');
    } finally {
      for (const key of keys) underWay.delete(key);
    }
  }

  /** What the client had under way is nobody's any more, and may still come. */
  clientKilled(): void {
    this.#underWay = new Set();
  }

  #answer({ operations, restoreEpoch }: PushCall, fate: Fate): PushAnswer {
    if (fate === 'lost') throw new Error('lost on the way there');
    // A restore that lost nothing: what is sent again is found out.
    if (fate === 'restored') this.restoreEpoch += 1;
    if (restoreEpoch < this.restoreEpoch) return { kind: 'restored', restoreEpoch: this.restoreEpoch };
    const verdicts = this.#settle(operations);
    if (fate === 'answer lost') throw new Error('lost on the way back');
    if (fate === 'nonsense') verdicts.pop();
    return { kind: 'verdicts', verdicts, restoreEpoch };
  }

  /** PROTOCOL 5.3. */
  #settle(operations: PushCall['operations']): Verdict[] {
    const stopped = new Set<string>();
    return operations.map((operation) => {
      const name = `${operation.session}:${operation.sequence}`;
      if (stopped.has(operation.id)) return deferred(operation, 'predecessor');
      const before = this.#settled.get(name);
      if (before?.verdict === 'applied') {
        const { session, sequence, version } = operation;
        return { session, sequence, verdict: 'duplicate', version };
      }
      const whim = before?.verdict ?? this.#whims.shift() ?? 'applied';
      if (whim !== 'applied') stopped.add(operation.id);
      if (whim === 'deferred') return deferred(operation);
      const verdict = whim === 'rejected' ? rejected(operation) : applied(operation);
      if (whim === 'applied') this.effects.push(`${operation.id}:${operation.sequence}`);
      this.#settled.set(name, verdict);
      return verdict;
    });
  }
}

test('all is settled in the end, once, and in order on each key', async () => {
  await fc.assert(
    fc.asyncProperty(edits, fates, whims, async (ids, fate, whim) => {
      const service = new Service(fate, whim);
      const { wire, time, queue, sender, put } = setting({ options: { batchOperationsMax: 5 } });
      wire.onPush = (call) => service.push(call, () => time.wait(10));
      sender.start();
      const sequences = new Map<string, number>();
      for (const [index, id] of ids.entries()) {
        const { sequence } = await put(id, index);
        sequences.set(`${id}:${sequence}`, index);
        if (index % 7 === 0) await time.advance(20);
      }
      const flushed = sender.flush();
      for (let rounds = 0; queue.pending > 0; rounds++) {
        assert.ok(rounds < 100, `${queue.pending} operations never leave`);
        await time.advance(30_000);
      }
      await flushed;
      assert.equal(new Set(service.effects).size, service.effects.length, 'an effect took place twice');
      assert.equal(service.effects.length + queue.quarantined, ids.length);
      for (const id of new Set(ids)) {
        const order = service.effects.filter((it) => it.startsWith(`${id}:`)).map((it) => sequences.get(it));
        assert.deepEqual(
          order,
          order.toSorted((a = 0, b = 0) => a - b),
        );
      }
      await sender.close();
      await settled();
      assert.equal(time.timers, 0);
    }),
    { numRuns: 60 },
  );
});

test('killed at any moment and opened anew: what was settled stays settled, the rest goes out, nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(edits, fates, fc.nat(400), async (ids, fate, killedAtMs) => {
      const service = new Service(fate, []);
      const first = setting({ options: { batchOperationsMax: 5 } });
      first.wire.onPush = (call) => service.push(call, () => first.time.wait(10));
      first.sender.start();
      for (const [index, id] of ids.entries()) await first.put(id, index);
      void first.sender.flush().catch(() => undefined);
      await first.time.advance(killedAtMs);
      const pending = first.queue.pending;
      const disk = first.disk.afterKill();
      await first.sender.close();
      service.clientKilled();

      const second = setting({ disk, options: { batchOperationsMax: 5 } });
      assert.equal(second.queue.recovered, pending);
      const { time } = second;
      second.wire.onPush = (call) => service.push(call, () => time.wait(10));
      second.sender.start();
      for (let rounds = 0; second.queue.pending > 0; rounds++) {
        assert.ok(rounds < 100, `${second.queue.pending} operations never leave`);
        await time.advance(5);
        // What the dead client had sent arrives now.
        if (rounds === 0) await first.time.advance(10);
        await time.advance(30_000);
      }
      assert.equal(new Set(service.effects).size, ids.length);
      assert.equal(service.effects.length, ids.length);
      await second.sender.close();
    }),
    { numRuns: 40 },
  );
});
