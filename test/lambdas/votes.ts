// Conflicts from the push to the audit trail, on three replicas: whoever wins, nothing that lost is gone and nothing
// takes effect twice. What fails on the way: votes-faults.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentOf, sha256Of } from '../../lambdas/core/canonical.ts';
import type { Store } from '../../lambdas/store/store.ts';
import { losingPayloadKey } from '../../protocol/audit.ts';
import { PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import { before, type Conflicts, EARLIER_MS, LATER_MS, reasonOf, stranger } from './conflicts-subject.ts';
import { Device, REGIONS } from './functions.ts';

export function voteCases(conflicts: Conflicts): void {
  const { functions } = conflicts;
  const { running } = functions;

  test('an edit that wins is the state, and what was stored is in the trail with its votes', async () => {
    const tenant = conflicts.newTenant();
    const first = stranger('first', EARLIER_MS);
    await functions.verdict(tenant, first);
    const state = await conflicts.stored(tenant);
    const counted = functions.telemetry.sum('conflicts');
    const second = stranger('second', LATER_MS);
    const { session, sequence, version } = second;
    assert.deepEqual(await functions.verdict(tenant, second), {
      session,
      sequence,
      verdict: 'applied',
      version,
    });
    assert.equal(await conflicts.payloadOf(tenant), 'second');
    assert.equal(functions.telemetry.sum('conflicts'), counted + 1);
    const [entry, ...more] = await conflicts.trailOf(tenant);
    assert.deepEqual(more, []);
    assert.equal(entry?.outcome, 'incoming');
    assert.equal(entry?.lost, 'first');
    assert.deepEqual(
      entry?.votes,
      running.regions.map((region) => ({ region, vote: 'incoming' })),
    );
    assert.deepEqual(entry?.stored, {
      version: first.version,
      deleted: false,
      sha256: sha256Of('"first"'),
      commitVersion: state?.commitVersion,
    });
    assert.deepEqual([entry?.sequence, entry?.region], [1, 'us-east-2']);
  });

  test('an edit that loses is superseded by what is stored, stays in the trail, and is a duplicate ever after', async () => {
    const tenant = conflicts.newTenant();
    const first = stranger('first', 0);
    await functions.verdict(tenant, first);
    const late = stranger('late', EARLIER_MS);
    const { session, sequence } = late;
    assert.deepEqual(await functions.verdict(tenant, late), {
      session,
      sequence,
      verdict: 'superseded',
      version: first.version,
    });
    assert.equal(await conflicts.payloadOf(tenant), 'first');
    assert.deepEqual(await functions.verdict(tenant, late), {
      session,
      sequence,
      verdict: 'duplicate',
      version: first.version,
    });
    const trail = await conflicts.trailOf(tenant);
    assert.deepEqual(
      trail.map(({ outcome, lost, incoming }) => [outcome, lost, incoming.version]),
      [['stored', 'late', late.version]],
    );
  });

  test('a delete that wins takes the payload into the trail; one that loses leaves nothing but its entry', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const device = new Device();
    const gone = device.delete('a', { version: device.version(Date.now() - 1_000) });
    assert.equal((await functions.verdict(tenant, gone)).verdict, 'applied');
    assert.equal(await conflicts.payloadOf(tenant), undefined);
    const put = stranger('again', 0);
    assert.equal((await functions.verdict(tenant, put)).verdict, 'applied');
    assert.equal(await conflicts.payloadOf(tenant), 'again');
    const late = new Device();
    const lostDelete = late.delete('a', { version: late.version(Date.now() + EARLIER_MS) });
    assert.equal((await functions.verdict(tenant, lostDelete)).verdict, 'superseded');
    assert.equal(await conflicts.payloadOf(tenant), 'again');
    assert.deepEqual(
      (await conflicts.trailOf(tenant)).map((it) => [
        it.outcome,
        it.incoming.deleted,
        it.stored?.deleted,
        it.lost,
      ]),
      [
        ['stored', true, false, undefined],
        ['incoming', false, true, undefined],
        ['incoming', true, false, 'first'],
      ],
    );
  });

  test('two replicas decide while the third is cut off', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    await conflicts.withFunctions({ copyAttemptMs: 150 }, async (own) => {
      const cut = (isCut: boolean) =>
        running.links.set(
          [REGIONS.primary, REGIONS.standby].map((other) => ({
            between: [REGIONS.quorum, other],
            cut: isCut,
            delayMs: 0,
          })),
        );
      cut(true);
      try {
        assert.equal((await own.verdict(tenant, stranger('second', 0))).verdict, 'applied');
      } finally {
        cut(false);
      }
    });
    assert.deepEqual((await conflicts.trailOf(tenant))[0]?.votes, [
      { region: REGIONS.primary, vote: 'incoming' },
      { region: REGIONS.standby, vote: 'incoming' },
      { region: REGIONS.quorum, vote: 'absent' },
    ]);
  });

  test('a damaged copy abstains, is counted, and what loses is taken from a whole one', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    await conflicts.corrupt(tenant, REGIONS.primary);
    await conflicts.withFunctions({}, async (own) => {
      assert.equal((await own.verdict(tenant, stranger('second', 0))).verdict, 'applied');
      assert.equal(own.telemetry.sum('data_corruption'), 1);
    });
    const [entry] = await conflicts.trailOf(tenant);
    assert.equal(entry?.lost, 'first');
    assert.deepEqual(
      entry?.votes.map(({ vote }) => vote),
      ['corrupt', 'incoming', 'incoming'],
    );
  });

  test('what loses is never taken from the answer of the write that met it, which nobody has checked', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const wrap = (store: Store): Store => ({
      ...store,
      async write(write) {
        const outcome = await store.write(write);
        if (outcome.written || !outcome.stored) return outcome;
        return { ...outcome, stored: { ...outcome.stored, content: contentOf('not what was written') } };
      },
    });
    await conflicts.withFunctions({ wrap }, async (own) => {
      assert.equal((await own.verdict(tenant, stranger('second', 0))).verdict, 'applied');
    });
    assert.equal((await conflicts.trailOf(tenant))[0]?.lost, 'first');
  });

  test('two damaged copies defer it, with nothing written, until they are repaired', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const state = await conflicts.stored(tenant);
    for (const region of [REGIONS.standby, REGIONS.quorum]) await conflicts.corrupt(tenant, region);
    const second = stranger('second', 0);
    await conflicts.withFunctions({}, async (own) => {
      assert.equal(reasonOf(await own.verdict(tenant, second)), 'no_quorum');
      assert.deepEqual(
        ['conflicts', 'votes_undecided', 'data_corruption', 'sync_failures'].map((name) =>
          own.telemetry.sum(name),
        ),
        [1, 1, 2, 1],
      );
      assert.match(own.telemetry.warnings.at(-1) ?? '', /us-west-2 corrupt, us-east-1 corrupt/);
    });
    assert.deepEqual(await conflicts.stored(tenant), state);
    for (const region of [REGIONS.standby, REGIONS.quorum])
      await conflicts.tamper(tenant, region, { payload: { S: '"first"' } });
    assert.equal((await functions.verdict(tenant, second)).verdict, 'applied');
  });

  test('copies of another commit than the one that was met have no say: it is deferred, counted once', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    const state = await conflicts.stored(tenant);
    const older = new Device().version(Date.now() - 100_000);
    for (const region of [REGIONS.primary, REGIONS.quorum])
      await conflicts.tamper(tenant, region, { commitVersion: { S: older } });
    await conflicts.withFunctions({}, async (own) => {
      assert.equal(reasonOf(await own.verdict(tenant, stranger('second', 0))), 'no_quorum');
      assert.deepEqual(
        ['conflicts', 'votes_undecided'].map((name) => own.telemetry.sum(name)),
        [1, 1],
      );
    });
    assert.deepEqual((await conflicts.stored(tenant))?.content, state?.content);
    assert.equal((await conflicts.stored(tenant))?.audit.sequence, 0);
  });

  test('a record that changes between the vote and the decision is voted on again, as one conflict', async () => {
    const tenant = conflicts.newTenant();
    const author = new Device();
    const first = author.put('a', 'first', { version: author.version(Date.now() + EARLIER_MS) });
    await functions.verdict(tenant, first);
    const between = author.put('a', 'between', { base: first.version });
    const wrap = before('decide', () => functions.verdict(tenant, between));
    await conflicts.withFunctions({ wrap }, async (own) => {
      assert.equal((await own.verdict(tenant, stranger('second', LATER_MS))).verdict, 'applied');
      assert.equal(own.telemetry.sum('conflicts'), 1);
    });
    assert.equal(await conflicts.payloadOf(tenant), 'second');
    assert.deepEqual(
      (await conflicts.trailOf(tenant)).map(({ lost, stored: met }) => [lost, met?.version]),
      [['between', between.version]],
    );
  });

  test('an operation that another region settles between the vote and the decision has one effect and one entry', async () => {
    const tenant = conflicts.newTenant();
    await functions.verdict(tenant, stranger('first', EARLIER_MS));
    for (const offsetMs of [LATER_MS, 2 * EARLIER_MS]) {
      const operation = stranger('hedged', offsetMs);
      const other: Verdict[] = [];
      await conflicts.withFunctions({ role: 'standby' }, async (standby) => {
        const wrap = before('decide', async () => other.push(await standby.verdict(tenant, operation)));
        await conflicts.withFunctions({ wrap }, async (own) => {
          assert.equal((await own.verdict(tenant, operation)).verdict, 'duplicate');
          assert.equal(own.telemetry.sum('conflicts') + standby.telemetry.sum('conflicts'), 1);
        });
      });
      assert.equal(other[0]?.verdict, offsetMs > 0 ? 'applied' : 'superseded');
    }
    assert.equal((await conflicts.trailOf(tenant)).length, 2);
  });

  test('copies that are newer than the state that was met are asked again, and then decide', async () => {
    const tenant = conflicts.newTenant();
    const author = new Device();
    const first = author.put('a', 'first', { version: author.version(Date.now() + EARLIER_MS) });
    await functions.verdict(tenant, first);
    const wrap = before('copies', () =>
      functions.verdict(tenant, author.put('a', 'between', { base: first.version })),
    );
    await conflicts.withFunctions({ wrap }, async (own) => {
      assert.equal((await own.verdict(tenant, stranger('second', LATER_MS))).verdict, 'applied');
      assert.deepEqual(
        ['conflicts', 'votes_undecided'].map((name) => own.telemetry.sum(name)),
        [1, 0],
      );
    });
    assert.deepEqual(
      (await conflicts.trailOf(tenant)).map(({ lost }) => lost),
      ['between'],
    );
  });

  test('strangers in two regions who all create one record: the highest version stays, the rest is in one chain', async () => {
    const tenant = conflicts.newTenant();
    const operations = Array.from({ length: 5 }, (_, n) => stranger(`writer ${n}`, n - 20));
    await conflicts.withFunctions({ role: 'standby' }, async (standby) => {
      let open = operations;
      for (let round = 0; open.length > 0; round += 1) {
        assert.ok(round < 20, `${open.length} operations are still not settled`);
        const verdicts = await Promise.all(
          open.map((operation, n) => (n % 2 === 0 ? functions : standby).verdict(tenant, operation)),
        );
        open = open.filter((_, n) => verdicts[n]?.verdict === 'deferred');
      }
    });
    const trail = await conflicts.trailOf(tenant);
    assert.equal(await conflicts.payloadOf(tenant), 'writer 4');
    assert.equal(trail.length, 4);
    assert.deepEqual(
      trail.map(({ lost }) => lost).sort(),
      Array.from({ length: 4 }, (_, n) => `writer ${n}`),
    );
    assert.equal((await conflicts.stored(tenant))?.settled.size, 5);
  });

  for (const [who, offsetMs, lostOf] of [
    ['the edit', LATER_MS, 'stored'],
    ['what is stored', EARLIER_MS, 'incoming'],
  ] as const)
    test(`256 KB against 256 KB: the loser is kept whole in the bucket when ${who} wins`, async () => {
      const tenant = conflicts.newTenant();
      const large = (char: string) => char.repeat(PAYLOAD_BYTES_MAX - 2);
      await functions.verdict(tenant, stranger(large('s'), 0));
      const verdict = await functions.verdict(tenant, stranger(large('i'), offsetMs));
      assert.equal(verdict.verdict, offsetMs > 0 ? 'applied' : 'superseded');
      const lost = large(lostOf === 'stored' ? 's' : 'i');
      const key = losingPayloadKey(tenant, sha256Of(JSON.stringify(lost)));
      assert.equal(functions.audit.objects.get(key), JSON.stringify(lost));
      const [text = ''] = (await conflicts.stored(tenant))?.audit.outbox ?? [];
      assert.ok(text.length < 2_000, `the entry itself has ${text.length} bytes`);
      assert.equal((await conflicts.trailOf(tenant))[0]?.lost, lost);
    });

  test('an edit whose base is gone begins the trail of the record that it becomes', async () => {
    const tenant = conflicts.newTenant();
    const device = new Device();
    const base = new Device().version(Date.now() - 1_000);
    const orphan = device.put('a', 'orphan', { base });
    await conflicts.withFunctions({}, async (made) => {
      assert.equal((await made.verdict(tenant, orphan)).verdict, 'applied');
      assert.equal(made.telemetry.sum('conflicts'), 1);
      assert.equal((await made.verdict(tenant, orphan)).verdict, 'duplicate');
      assert.equal(made.telemetry.sum('conflicts'), 1);
    });
    const trail = await conflicts.trailOf(tenant);
    assert.deepEqual(
      trail.map(({ sequence, outcome, votes, incoming, stored: met, lost }) => [
        sequence,
        outcome,
        votes,
        incoming.base,
        met,
        lost,
      ]),
      [[1, 'base_missing', [], base, undefined, undefined]],
    );
    assert.equal((await functions.verdict(tenant, stranger('late', EARLIER_MS))).verdict, 'superseded');
    const [second, first] = await conflicts.trailOf(tenant);
    assert.equal(second?.previous, first?.hash);
  });
}
