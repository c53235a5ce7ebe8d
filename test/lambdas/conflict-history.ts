// `GET /v1/records/{collection}/{id}/conflicts`: a record's history as its audit trail tells it, and what is said when
// the trail does not hold.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordRuling } from '../../lambdas/core/audit.ts';
import { contentOf } from '../../lambdas/core/canonical.ts';
import { decodeConflictsCursor, encodeConflictsCursor } from '../../lambdas/core/cursors.ts';
import type { Edit } from '../../lambdas/core/record.ts';
import { CHAIN_START } from '../../protocol/audit.ts';
import { CONFLICTS_LIMIT_MAX, PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import { type Conflicts, EARLIER_MS, LATER_MS, stranger } from './conflicts-subject.ts';
import { Device, type Functions } from './functions.ts';

export function conflictHistoryCases(conflicts: Conflicts): void {
  const { functions } = conflicts;

  /** A record that won over that many strangers, each of whom lost its number. */
  async function contested(count: number, on: Functions = functions): Promise<string> {
    const tenant = conflicts.newTenant();
    await on.verdict(tenant, stranger('winner', 0));
    for (let n = 1; n <= count; n += 1) await on.verdict(tenant, stranger(n, EARLIER_MS));
    return tenant;
  }

  /** Moves the whole outbox into the bucket, as an archiver does. */
  async function archive(tenant: string, on: Functions): Promise<void> {
    const key = { tenant, collection: 'notes', id: 'a' };
    const { commitVersion, audit } = (await conflicts.stored(tenant)) ?? assert.fail('expected a record');
    for (const [index, text] of audit.outbox.entries()) {
      const next = audit.outbox[index + 1];
      const hash = next === undefined ? audit.head : JSON.parse(next).previous;
      await on.audit.archive(key, audit.sequence - audit.outbox.length + 1 + index, hash, text);
    }
    assert.equal(await on.service.store.trim(key, commitVersion, []), true);
  }

  test('a record that never met a conflict has an empty history; no record has none', async () => {
    const tenant = await contested(0);
    const reply = await functions.conflicts(tenant, 'a');
    assert.deepEqual([reply.status, reply.body], [200, { conflicts: [] }]);
    const none = await functions.conflicts(tenant, 'b');
    assert.deepEqual([none.status, none.body.code], [404, 'not_found']);
    assert.equal((await functions.conflicts(`${tenant}-other`, 'a')).status, 404);
  });

  test('conflicts come the latest first, each naming the one before', async () => {
    const tenant = await contested(3);
    const { conflicts: trail } = (await functions.conflicts(tenant, 'a')).body;
    assert.deepEqual(
      trail.map(({ sequence, lost }) => [sequence, lost]),
      [
        [3, 3],
        [2, 2],
        [1, 1],
      ],
    );
    assert.deepEqual(
      trail.map(({ previous }) => previous),
      [trail[1]?.hash, trail[2]?.hash, CHAIN_START],
    );
  });

  test('a deleted record keeps its history', async () => {
    const tenant = await contested(1);
    const device = new Device();
    const gone = device.delete('a', { version: device.version(Date.now() + LATER_MS) });
    assert.equal((await functions.verdict(tenant, gone)).verdict, 'applied');
    assert.deepEqual(
      (await conflicts.trailOf(tenant)).map(({ lost }) => lost),
      ['winner', 1],
    );
  });

  test('a history is read page by page, from the bucket where it was archived, and changes nothing on the way', async () => {
    await conflicts.withFunctions({}, async (own) => {
      const tenant = await contested(3, own);
      await archive(tenant, own);
      for (const n of [4, 5]) await own.verdict(tenant, stranger(n, EARLIER_MS));
      const seen: unknown[] = [];
      let query: Record<string, string> = { limit: '2' };
      for (let page = 1; ; page += 1) {
        const { body, status } = await own.conflicts(tenant, 'a', query);
        assert.equal(status, 200);
        seen.push(...body.conflicts.map(({ lost }) => lost));
        if (body.cursor === undefined) {
          assert.equal(page, 3);
          break;
        }
        query = { limit: '2', cursor: body.cursor };
        // A conflict that comes meanwhile belongs to another reading.
        await own.verdict(tenant, stranger(5 + page, EARLIER_MS));
      }
      assert.deepEqual(seen, [5, 4, 3, 2, 1]);
    });
  });

  test('a page ends early when its payloads are many, and the next goes on', async () => {
    const tenant = conflicts.newTenant();
    const winner = stranger('winner', 0);
    await functions.verdict(tenant, winner);
    const stored = (await conflicts.stored(tenant)) ?? assert.fail('expected a record');
    // All of them lost the same large payload, so that it is kept once.
    const content = contentOf('x'.repeat(PAYLOAD_BYTES_MAX - 2));
    await functions.audit.putPayload(tenant, content.sha256, content.payload);
    const key = { tenant, collection: 'notes', id: 'a' };
    const edit: Edit = { ...winner, key, base: undefined, replayed: false, content };
    let { audit } = stored;
    for (let n = 0; n < 18; n += 1) {
      const scene = { region: 'us-east-2', atMs: n };
      const recorded = recordRuling(edit, { outcome: 'stored', votes: [], stored }, audit, scene);
      audit = recorded.kind === 'recorded' ? recorded.audit : assert.fail('expected it to fit');
    }
    await functions.service.store.decide({
      key,
      decidedOn: stored.commitVersion,
      commitVersion: functions.service.commits.stamp(Date.now()),
      winner: undefined,
      deleted: false,
      settles: { session: winner.session, sequence: 2, atMs: 0 },
      audit,
      forget: [],
    });
    const first = (await functions.conflicts(tenant, 'a')).body;
    assert.equal(first.conflicts.length, 16);
    const second = (await functions.conflicts(tenant, 'a', { cursor: first.cursor })).body;
    assert.deepEqual([second.conflicts.length, second.cursor], [2, undefined]);
  });

  /** Fails unless the answer is a problem that names what does not hold, counted as corruption. */
  async function assertBroken(own: Functions, tenant: string, what: RegExp): Promise<void> {
    const counted = own.telemetry.sum('data_corruption');
    const reply = await own.conflicts(tenant, 'a');
    assert.deepEqual([reply.status, reply.body.code], [500, 'internal']);
    assert.match(reply.body.detail, what);
    assert.equal(own.telemetry.sum('data_corruption'), counted + 1);
    assert.match(own.telemetry.errors.at(-1) ?? '', what);
  }

  test('an archived entry that is missing or changed is named in a problem, and counted', async () => {
    await conflicts.withFunctions({}, async (own) => {
      const tenant = await contested(3, own);
      await archive(tenant, own);
      const keys = [...own.audit.objects.keys()].sort();
      const second = keys[1] ?? assert.fail('expected an entry');
      const text = own.audit.objects.get(second) ?? assert.fail('expected its text');
      own.audit.objects.delete(second);
      await assertBroken(own, tenant, /entry 2 \([0-9a-f]{64}\) is missing/);
      own.audit.objects.set(second, text.replace('"lost":"2"', '"lost":"0"'));
      await assertBroken(own, tenant, /entry 2 \([0-9a-f]{64}\) hashes to/);
      const page = await own.conflicts(tenant, 'a', { limit: '1' });
      assert.equal(page.status, 500, 'a page hands out a cursor to an entry that does not hold');
      own.audit.objects.set(second, text);
      assert.equal((await own.conflicts(tenant, 'a')).body.conflicts.length, 3);
    });
  });

  test('an outbox that was tampered with is looked for in the bucket, and named when it is not there', async () => {
    await conflicts.withFunctions({}, async (own) => {
      const tenant = await contested(1, own);
      const record = await conflicts.stored(tenant);
      const commitVersion = record?.commitVersion ?? assert.fail('expected a record');
      const key = { tenant, collection: 'notes', id: 'a' };
      await own.service.store.trim(key, commitVersion, [(record?.audit.outbox[0] ?? '').replace('1', '2')]);
      await assertBroken(own, tenant, /entry 1 \([0-9a-f]{64}\) is missing/);
    });
  });

  test('a large payload that is missing from the bucket, or damaged there, is named', async () => {
    await conflicts.withFunctions({}, async (own) => {
      const tenant = conflicts.newTenant();
      await own.verdict(tenant, stranger('winner', 0));
      await own.verdict(tenant, stranger('x'.repeat(20_000), EARLIER_MS));
      const [key = '', payload = ''] = [...own.audit.objects][0] ?? [];
      assert.match(key, /^losing-payloads\//);
      own.audit.objects.set(key, '"y"');
      await assertBroken(own, tenant, /the payload [0-9a-f]{64} that lost by entry 1 does not match/);
      own.audit.objects.delete(key);
      await assertBroken(own, tenant, /the payload [0-9a-f]{64} that lost by entry 1 is missing/);
      own.audit.objects.set(key, payload);
      assert.equal((await conflicts.trailOf(tenant, own))[0]?.lost, 'x'.repeat(20_000));
    });
  });

  test('a bucket that does not answer is a 503: nothing is said to be missing', async () => {
    await conflicts.withFunctions({}, async (own) => {
      const tenant = await contested(1, own);
      await archive(tenant, own);
      own.audit.down = () => true;
      const reply = await own.conflicts(tenant, 'a');
      assert.deepEqual([reply.status, reply.body.code], [503, 'store_unavailable']);
      assert.equal(own.telemetry.sum('data_corruption'), 0);
    });
  });

  test('a cursor of another record, another tenant or another listing is 400, and so is a limit out of range', async () => {
    const tenant = await contested(2);
    const counted = functions.telemetry.sum('data_corruption');
    const { cursor } = (await functions.conflicts(tenant, 'a', { limit: '1' })).body;
    const at = decodeConflictsCursor(cursor) ?? assert.fail('expected a cursor');
    const record = { ...at.record, tenant: 'other' };
    for (const query of [
      { cursor: 'x' },
      { cursor: encodeConflictsCursor({ ...at, record }) },
      { cursor: encodeConflictsCursor({ ...at, record: { ...at.record, id: 'b' } }) },
      { cursor: encodeConflictsCursor({ ...at, record: { ...at.record, collection: 'other' } }) },
      { cursor: encodeConflictsCursor({ ...at, hash: '0'.repeat(64) }) },
      { cursor: encodeConflictsCursor({ ...at, sequence: at.sequence + 1 }) },
      { cursor: Buffer.from(JSON.stringify(['list1', tenant, 'notes', 0, ''])).toString('base64url') },
      { limit: '0' },
      { limit: String(CONFLICTS_LIMIT_MAX + 1) },
    ]) {
      const reply = await functions.conflicts(tenant, 'a', query);
      assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request'], JSON.stringify(query));
    }
    assert.equal((await functions.conflicts(tenant, 'a', { cursor })).body.conflicts.length, 1);
    assert.equal(functions.telemetry.sum('data_corruption'), counted);
  });
}
