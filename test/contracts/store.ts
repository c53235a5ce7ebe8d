// What the store port promises (lambdas/store/store.ts), whichever engine stands behind it: the rehearsal's replicated
// table, or Amazon's own DynamoDB Local. Here: records. Votes and tombstones:
// store-decisions.ts. The feed, control items and regions: store-feed.ts. Failover: store-routing.ts.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { createStampClock } from '../../lambdas/core/clock.ts';
import { NO_AUDIT } from '../../lambdas/core/record.ts';
import { SETTLED_SESSIONS_MAX } from '../../lambdas/core/settled-room.ts';
import { RecordFullError } from '../../lambdas/store/store.ts';
import { ATTRIBUTES, recordPk, STATE, settledAttribute } from '../../protocol/items.ts';
import { PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import { storeDecisionCases } from './store-decisions.ts';
import { storeFeedCases } from './store-feed.ts';
import { storeRoutingCases } from './store-routing.ts';
import { type StoreEngine, StoreSubject, session, text } from './store-subject.ts';

/** @param open a fresh, empty table; the suite closes it */
export function storeContract(name: string, open: () => Promise<StoreEngine>): void {
  describe(`store contract: ${name}`, () => {
    const on = new StoreSubject(open);
    recordCases(on);
    storeDecisionCases(on);
    storeFeedCases(on);
    storeRoutingCases(on);
  });
}

function recordCases(on: StoreSubject): void {
  test('creates a record once, and gives back what is there to the next creator', async () => {
    const key = on.newKey();
    const settles = { session: session(1), sequence: 7, atMs: 1_700_000_000_123 };
    const first = await on.written(on.writeOf(key, { settles }));
    const stored = await on.refused(
      on.writeOf(key, { settles: { session: session(2), sequence: 1, atMs: 1 } }),
    );
    assert.deepEqual(stored, {
      version: first.version,
      commitVersion: first.commitVersion,
      content: first.content,
      settled: new Map([[session(1), { sequence: 7, atMs: 1_700_000_000_123 }]]),
      audit: NO_AUDIT,
    });
    assert.deepEqual(await on.store.read(key), stored);
  });

  test('a read of nothing is undefined', async () => {
    assert.equal(await on.store.read(on.newKey()), undefined);
  });

  test('replaces exactly the base, and refuses any other with what is stored', async () => {
    const key = on.newKey();
    const first = await on.written(on.writeOf(key));
    const second = await on.written(on.writeOf(key, { base: first.version, content: text('second') }));
    const stored = await on.refused(on.writeOf(key, { base: first.version, content: text('late') }));
    assert.equal(stored?.version, second.version);
    assert.deepEqual((await on.store.read(key))?.content, text('second'));
  });

  test('a base on a missing record is refused with nothing stored, and writes nothing', async () => {
    const key = on.newKey();
    assert.equal(await on.refused(on.writeOf(key, { base: on.version() })), undefined);
    assert.equal(await on.store.read(key), undefined);
  });

  test('refuses a version that is not above the base', async () => {
    const key = on.newKey();
    const older = on.version();
    const first = await on.written(on.writeOf(key));
    assert.equal(
      (await on.refused(on.writeOf(key, { base: first.version, version: older })))?.version,
      first.version,
    );
    await on.refused(on.writeOf(key, { base: first.version, version: first.version }));
  });

  test('refuses a commit stamp that is not above the stored one', async () => {
    const key = on.newKey();
    const older = on.commit();
    const first = await on.written(on.writeOf(key));
    for (const stale of [older, first.commitVersion])
      assert.equal(
        (await on.refused(on.writeOf(key, { base: first.version, commitVersion: stale })))?.commitVersion,
        first.commitVersion,
      );
    await on.written(on.writeOf(key, { base: first.version }));
  });

  test('refuses a sequence that its session has settled, and no other session notices', async () => {
    const key = on.newKey();
    const settles = (sequence: number, of = 1) => ({ session: session(of), sequence, atMs: 5 });
    let base = (await on.written(on.writeOf(key, { settles: settles(5) }))).version;
    for (const sequence of [5, 4, 1])
      assert.equal((await on.refused(on.writeOf(key, { base, settles: settles(sequence) })))?.version, base);
    base = (await on.written(on.writeOf(key, { base, settles: settles(1, 2) }))).version;
    base = (await on.written(on.writeOf(key, { base, settles: settles(10) }))).version;
    const { settled } = (await on.store.read(key)) ?? assert.fail();
    assert.deepEqual(
      settled,
      new Map([
        [session(1), { sequence: 10, atMs: 5 }],
        [session(2), { sequence: 1, atMs: 5 }],
      ]),
    );
  });

  test('sequences compare as numbers up to the largest safe integer', async () => {
    const key = on.newKey();
    const settles = (sequence: number) => ({ session: session(1), sequence, atMs: 5 });
    let base = (await on.written(on.writeOf(key, { settles: settles(9) }))).version;
    base = (await on.written(on.writeOf(key, { base, settles: settles(10) }))).version;
    await on.written(on.writeOf(key, { base, settles: settles(Number.MAX_SAFE_INTEGER) }));
    assert.equal((await on.store.read(key))?.settled.get(session(1))?.sequence, Number.MAX_SAFE_INTEGER);
  });

  test('a tombstone keeps no payload, and can be written over', async () => {
    const key = on.newKey();
    const first = await on.written(
      on.writeOf(key, { settles: { session: session(1), sequence: 1, atMs: 5 } }),
    );
    const gone = await on.written(on.writeOf(key, { base: first.version, content: { deleted: true } }));
    const stored = await on.store.read(key);
    assert.deepEqual(stored?.content, { deleted: true });
    assert.equal(stored?.settled.get(session(1))?.sequence, 1);
    await on.refused(on.writeOf(key));
    await on.written(on.writeOf(key, { base: gone.version, content: text('again') }));
    assert.deepEqual((await on.store.read(key))?.content, text('again'));
  });

  test('forgets sessions only while the commit version is the one they were judged on', async () => {
    const key = on.newKey();
    const settles = (of: number) => ({ session: session(of), sequence: 1, atMs: 5 });
    const first = await on.written(on.writeOf(key, { settles: settles(1) }));
    const second = await on.written(on.writeOf(key, { base: first.version, settles: settles(2) }));
    const forget = { sessions: [session(1)], commitVersion: first.commitVersion };
    await on.refused(on.writeOf(key, { base: second.version, settles: settles(3), forget }));
    await on.written(
      on.writeOf(key, {
        base: second.version,
        settles: settles(3),
        forget: { ...forget, commitVersion: second.commitVersion },
      }),
    );
    assert.deepEqual([...((await on.store.read(key))?.settled.keys() ?? [])].sort(), [
      session(2),
      session(3),
    ]);
  });

  test('of many creators at once exactly one is taken', async () => {
    const key = on.newKey();
    const writes = Array.from({ length: 20 }, (_, n) => on.writeOf(key, { content: text(`writer ${n}`) }));
    const outcomes = await Promise.all(writes.map((write) => on.store.write(write)));
    const winners = writes.filter((_, n) => outcomes[n]?.written);
    assert.equal(winners.length, 1);
    assert.deepEqual((await on.store.read(key))?.content, winners[0]?.content);
  });

  test('of many writers on one base exactly one is taken', async () => {
    const key = on.newKey();
    const { version: base } = await on.written(on.writeOf(key));
    const writes = Array.from({ length: 20 }, (_, n) =>
      on.writeOf(key, { base, content: text(`writer ${n}`) }),
    );
    const outcomes = await Promise.all(writes.map((write) => on.store.write(write)));
    assert.equal(outcomes.filter((outcome) => outcome.written).length, 1);
  });

  test('keeps the largest payload beside as many sessions as may be remembered', async () => {
    const key = on.newKey();
    const largest = contentOf('x'.repeat(PAYLOAD_BYTES_MAX - 2));
    const first = on.writeOf(key);
    const sessions = Array.from({ length: SETTLED_SESSIONS_MAX - 1 }, (_, n) => [
      settledAttribute(session(n)),
      { M: { s: { N: String(Number.MAX_SAFE_INTEGER) }, t: { N: '1700000000123' } } },
    ]);
    await on.putItem(
      { pk: recordPk(key), sk: STATE },
      {
        [ATTRIBUTES.version]: { S: first.version },
        [ATTRIBUTES.commitVersion]: { S: first.commitVersion },
        [ATTRIBUTES.deleted]: { BOOL: true },
        ...Object.fromEntries(sessions),
      },
    );
    const settles = {
      session: session(999_999),
      sequence: Number.MAX_SAFE_INTEGER,
      atMs: 1_700_000_000_123,
    };
    await on.written(on.writeOf(key, { base: first.version, content: largest, settles }));
    const stored = (await on.store.read(key)) ?? assert.fail();
    assert.deepEqual(stored.content, largest);
    assert.equal(stored.settled.size, SETTLED_SESSIONS_MAX);
  });

  test('refuses an item over 400 KB as full, and keeps what was there', async () => {
    const key = on.newKey();
    const first = await on.written(on.writeOf(key));
    const tooMuch = contentOf('x'.repeat(400 * 1024));
    await assert.rejects(on.store.write(on.writeOf(on.newKey(), { content: tooMuch })), RecordFullError);
    await assert.rejects(
      on.store.write(on.writeOf(key, { base: first.version, content: tooMuch })),
      RecordFullError,
    );
    assert.equal((await on.store.read(key))?.version, first.version);
  });

  test('payloads come back byte for byte', async () => {
    const key = on.newKey();
    const payload = contentOf({
      '': 'ä€😀\u0000\u2028"\\',
      n: [1e-7, 1e21, -0.5, 9007199254740991],
      日: null,
    });
    await on.written(on.writeOf(key, { content: payload }));
    assert.deepEqual((await on.store.read(key))?.content, payload);
  });

  test('reads many records at once, past a batch, in any order, leaving out what is not there', async () => {
    const there = Array.from({ length: 120 }, () => on.newKey());
    await Promise.all(there.map((key) => on.written(on.writeOf(key))));
    const asked = [...there, on.newKey(), ...there.slice(0, 2)];
    const { records, looked } = await on.store.readMany(asked, 1e9);
    assert.equal(looked, asked.length);
    assert.deepEqual([...records.keys()].sort(), there.map(recordPk).sort());
  });

  test('stops reading once enough bytes came, in the order asked for', async () => {
    const some = Array.from({ length: 5 }, () => on.newKey());
    await Promise.all(
      some.map((key) => on.written(on.writeOf(key, { content: contentOf('x'.repeat(998)) }))),
    );
    const { records, looked } = await on.store.readMany(some, 2_500);
    assert.equal(looked, 3);
    assert.deepEqual([...records.keys()], some.slice(0, 3).map(recordPk));
  });

  test('versions of another file are only other versions', async () => {
    const key = on.newKey();
    const first = await on.written(on.writeOf(key));
    const others = createStampClock('e'.repeat(16));
    others.observe(first.version);
    await on.written(on.writeOf(key, { base: first.version, version: others.stamp(0) }));
  });
}
