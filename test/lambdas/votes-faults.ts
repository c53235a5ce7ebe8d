// Conflicts while something fails: a full outbox, the audit bucket, the store, a restore. They are deferred with nothing
// written, or decided with everything kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Store, StoreUnavailableError } from '../../lambdas/store/store.ts';
import { GENERATION_KEY } from '../../protocol/items.ts';
import { before, type Conflicts, EARLIER_MS, LATER_MS, reasonOf, stranger } from './conflicts-subject.ts';
import { Device, EPOCH } from './functions.ts';

export function voteFaultCases(conflicts: Conflicts): void {
  const { functions } = conflicts;

  test('a full outbox is archived and trimmed before the next entry, and the trail stays whole', async () => {
    const tenant = conflicts.newTenant();
    await conflicts.withFunctions({}, async (own) => {
      await own.verdict(tenant, stranger('first', 0));
      const filled = await conflicts.fillOutbox(tenant, own);
      assert.ok(filled >= 4, `${filled} conflicts filled the outbox`);
      assert.equal(own.audit.objects.size, 0);
      assert.equal(
        (await own.verdict(tenant, stranger('y'.repeat(15_000), EARLIER_MS))).verdict,
        'superseded',
      );
      const { audit } = (await conflicts.stored(tenant)) ?? assert.fail('expected a record');
      assert.deepEqual([audit.sequence, audit.outbox.length], [filled + 1, 1]);
      assert.equal(own.audit.objects.size, filled);
      assert.equal(own.telemetry.sum('audit_archived'), filled);
      const trail = await conflicts.trailOf(tenant, own);
      assert.deepEqual(
        trail.map(({ sequence }) => sequence),
        Array.from({ length: filled + 1 }, (_, n) => filled + 1 - n),
      );
      assert.equal(trail.at(-1)?.lost, 'x'.repeat(15_000));
    });
  });

  test('a record that changes before its full outbox is trimmed keeps the outbox and is voted on again', async () => {
    const tenant = conflicts.newTenant();
    const author = new Device();
    const first = author.put('a', 'first', { version: author.version(Date.now() - 1_000) });
    const wrap = before('trim', () =>
      functions.verdict(tenant, author.put('a', 'between', { base: first.version })),
    );
    await conflicts.withFunctions({ wrap }, async (own) => {
      await own.verdict(tenant, first);
      const filled = await conflicts.fillOutbox(tenant, own);
      const last = stranger('y'.repeat(15_000), EARLIER_MS);
      assert.equal((await own.verdict(tenant, last)).verdict, 'superseded');
      assert.equal(await conflicts.payloadOf(tenant), 'between');
      assert.equal((await conflicts.trailOf(tenant, own)).length, filled + 1);
    });
  });

  test('a bucket that does not answer defers the conflict and loses nothing; small conflicts go on without it', async () => {
    const tenant = conflicts.newTenant();
    await conflicts.withFunctions({}, async (own) => {
      own.audit.down = () => true;
      const large = stranger('s'.repeat(100_000), 0);
      await own.verdict(tenant, large);
      const state = await conflicts.stored(tenant);
      const edit = stranger('edit', LATER_MS);
      assert.equal(reasonOf(await own.verdict(tenant, edit)), 'store_unavailable');
      assert.deepEqual(await conflicts.stored(tenant), state);
      assert.equal((await own.verdict(tenant, stranger('small', EARLIER_MS))).verdict, 'superseded');
      own.audit.down = () => false;
      assert.equal((await own.verdict(tenant, edit)).verdict, 'applied');
      assert.equal((await conflicts.trailOf(tenant, own))[0]?.lost, 's'.repeat(100_000));
      assert.equal(own.telemetry.sum('conflicts'), 3);
    });
  });

  test('a full outbox that cannot be archived defers the conflict and stays as it is', async () => {
    const tenant = conflicts.newTenant();
    await conflicts.withFunctions({}, async (own) => {
      await own.verdict(tenant, stranger('first', 0));
      await conflicts.fillOutbox(tenant, own);
      const state = await conflicts.stored(tenant);
      own.audit.down = (call) => call.startsWith('put audit/');
      const late = stranger('y'.repeat(15_000), EARLIER_MS);
      assert.equal(reasonOf(await own.verdict(tenant, late)), 'store_unavailable');
      assert.deepEqual(await conflicts.stored(tenant), state);
      assert.equal(own.telemetry.sum('audit_failures'), 1);
      own.audit.down = () => false;
      assert.equal((await own.verdict(tenant, late)).verdict, 'superseded');
    });
  });

  test('a decision that the store refuses is voted on again under a new stamp; one that times out is deferred', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const stamps: string[] = [];
    const failing = (failures: number, retryable: boolean) => (store: Store) => ({
      ...store,
      async decide(decision: Parameters<Store['decide']>[0]) {
        stamps.push(decision.commitVersion);
        if (stamps.length > failures) return store.decide(decision);
        throw new StoreUnavailableError('refused', { retryable, mayHaveLanded: !retryable });
      },
    });
    await conflicts.withFunctions({ wrap: failing(2, true) }, async (own) => {
      assert.equal((await own.verdict(tenant, stranger('second', 0))).verdict, 'applied');
      assert.equal(stamps.length, 3);
      assert.deepEqual(stamps, [...new Set(stamps)].sort());
      assert.equal(own.telemetry.sum('store_retries'), 2);
    });
    stamps.length = 0;
    await conflicts.withFunctions({ wrap: failing(9, false) }, async (own) => {
      assert.equal(reasonOf(await own.verdict(tenant, stranger('third', LATER_MS))), 'store_unavailable');
      assert.equal(stamps.length, 1);
      assert.equal(own.telemetry.sum('conflicts'), 1);
    });
  });

  test('a decision that landed without an answer is a duplicate on the next send', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', 0));
    const late = stranger('late', EARLIER_MS);
    const losing = (store: Store): Store => ({
      ...store,
      async decide(decision) {
        await store.decide(decision);
        throw new StoreUnavailableError('no answer', { retryable: false, mayHaveLanded: true });
      },
    });
    await conflicts.withFunctions({ wrap: losing }, async (own) => {
      assert.equal((await own.verdict(tenant, late)).verdict, 'deferred');
    });
    assert.equal((await functions.verdict(tenant, late)).verdict, 'duplicate');
    assert.equal((await conflicts.trailOf(tenant)).length, 1);
  });

  test('a decision that landed without an answer is found by the next attempt of the same request', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const second = stranger('second', 0);
    const { session, sequence, version } = second;
    let decisions = 0;
    const losing = (store: Store): Store => ({
      ...store,
      async decide(decision) {
        decisions += 1;
        await store.decide(decision);
        throw new StoreUnavailableError('no answer', { retryable: true, mayHaveLanded: true });
      },
    });
    await conflicts.withFunctions({ wrap: losing }, async (own) => {
      assert.deepEqual(await own.verdict(tenant, second), {
        session,
        sequence,
        verdict: 'duplicate',
        version,
      });
      assert.equal(own.telemetry.sum('votes_undecided'), 0);
    });
    assert.equal(decisions, 1);
    assert.deepEqual(
      (await conflicts.trailOf(tenant)).map(({ lost }) => lost),
      ['first'],
    );
  });

  test('a restore that begins between the vote and the decision stops it', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const state = await conflicts.stored(tenant);
    const generation = (status: string) =>
      functions.putControl(GENERATION_KEY, { status: { S: status }, restoreEpoch: { N: String(EPOCH) } });
    let decisions = 0;
    let restoring = async () => {};
    const wrap = (store: Store): Store => ({
      ...before('copies', () => restoring())(store),
      async decide(decision) {
        decisions += 1;
        return store.decide(decision);
      },
    });
    await conflicts.withFunctions({ wrap }, async (own) => {
      restoring = async () => {
        await generation('restoring');
        // The copy of the generation item that the vote began with is too old by now.
        own.offsetMs = 6_000;
      };
      try {
        assert.equal(reasonOf(await own.verdict(tenant, stranger('second', 0))), 'store_unavailable');
      } finally {
        await generation('open');
      }
    });
    assert.equal(decisions, 0);
    assert.deepEqual(await conflicts.stored(tenant), state);
  });
}
