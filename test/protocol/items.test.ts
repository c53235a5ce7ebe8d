// Keys, shards and limits: what both ends and all three regions must agree on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BATCH, HEARTBEAT } from '../../config/promises.ts';
import { EdenFieldError, PROBLEMS, type ProblemCode, problem } from '../../protocol/errors.ts';
import {
  feedOrderOf,
  feedShard,
  feedShardOf,
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  heartbeatKey,
  ROUTING_KEY,
  recordKeyOf,
  recordPk,
  regionStatusKey,
  settledAttribute,
  writeProbeKey,
} from '../../protocol/items.ts';
import * as limits from '../../protocol/limits.ts';
import {
  COLLECTION_PATTERN,
  IDEMPOTENCY_KEY_PATTERN,
  RECORD_ID_PATTERN,
  SESSION_PATTERN,
  TENANT_PATTERN,
} from '../../protocol/names.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';

const recordKey = fc.record(
  {
    tenant: fc.stringMatching(TENANT_PATTERN),
    collection: fc.stringMatching(COLLECTION_PATTERN),
    id: fc.stringMatching(RECORD_ID_PATTERN),
  },
  { noNullPrototype: true },
);
const version = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.integer({ min: 0, max: 0xffff }))
  .map(([ms, counter]): Version => versionOf({ ms, counter }, 'c'.repeat(16)));

test('a record’s key is found again in its item, and two records never share one', () => {
  fc.assert(
    fc.property(recordKey, recordKey, (a, b) => {
      assert.deepEqual(recordKeyOf(recordPk(a)), a);
      const same = a.tenant === b.tenant && a.collection === b.collection && a.id === b.id;
      assert.equal(recordPk(a) === recordPk(b), same);
    }),
  );
});

test('no control item is a record, and no tenant can name one', () => {
  for (const { pk } of [
    GENERATION_KEY,
    ROUTING_KEY,
    regionStatusKey('us-east-2'),
    heartbeatKey('us-east-2'),
    writeProbeKey('us-east-2'),
  ])
    assert.equal(recordKeyOf(pk), undefined);
  fc.assert(
    fc.property(recordKey, (key) => {
      assert.ok(!recordPk(key).startsWith('CONTROL'));
      assert.notEqual(feedShardOf(key), HEARTBEAT_SHARD);
    }),
  );
});

test('names hold nothing that separates parts of a key, a path or a line', () => {
  for (const pattern of [TENANT_PATTERN, COLLECTION_PATTERN, RECORD_ID_PATTERN, SESSION_PATTERN]) {
    assert.ok(!pattern.multiline && !pattern.global);
    for (const char of ['#', '/', ' ', '\n', '\0', '%', '?', '"', 'ä'])
      for (const text of [char, `a${char}`, `a${char}a`, `${'a'.repeat(32)}${char}`])
        assert.ok(!pattern.test(text), `${pattern} takes ${JSON.stringify(text)}`);
  }
  for (const text of ['.', '..', '-', '~a', '']) assert.ok(!RECORD_ID_PATTERN.test(text));
});

test('a record stays in one of its tenant’s 16 shards, and records spread over all of them', () => {
  const counts = new Map<string, number>();
  for (let n = 0; n < 16_000; n += 1) {
    const shard = feedShardOf({ tenant: 'acme', collection: 'notes', id: `n${n}` });
    counts.set(shard, (counts.get(shard) ?? 0) + 1);
  }
  assert.deepEqual(
    [...counts.keys()].sort(),
    Array.from({ length: limits.FEED_SHARDS }, (_, n) => feedShard('acme', n)).sort(),
  );
  for (const [shard, count] of counts) assert.ok(count > 800 && count < 1_200, `${shard}: ${count}`);
  // Fixed for ever: stored items carry it.
  for (const [id, shard] of [
    ['n1', 'F#acme#a'],
    ['n2', 'F#acme#7'],
    ['x.~y', 'F#acme#8'],
  ] as const)
    assert.equal(feedShardOf({ tenant: 'acme', collection: 'notes', id }), shard);
});

test('the order of the feed is commit version, then key', () => {
  fc.assert(
    fc.property(version, version, recordKey, recordKey, (a, b, left, right) => {
      const [x, y] = [feedOrderOf(a, left), feedOrderOf(b, right)];
      if (a !== b) assert.equal(x < y, a < b);
      else if (left.collection === right.collection) assert.equal(x < y, left.id < right.id);
    }),
  );
});

test('a settled attribute is as long as the room for it counts', () => {
  assert.equal(settledAttribute('a'.repeat(32)).length, 34);
});

test('an idempotency key names a session and a sequence from 1', () => {
  const session = 'a'.repeat(32);
  assert.deepEqual(IDEMPOTENCY_KEY_PATTERN.exec(`${session}:12`)?.slice(1), [session, '12']);
  for (const bad of [
    `${session}:0`,
    `${session}:01`,
    `${session}:`,
    `${session}:-1`,
    `${session}:1 `,
    ':1',
    session,
  ])
    assert.equal(IDEMPOTENCY_KEY_PATTERN.exec(bad), null);
});

test('limits of the wire are the promised ones', () => {
  assert.equal(limits.BATCH_OPERATIONS_MAX, BATCH.operationsMax);
  assert.equal(limits.BATCH_WAIT_MS, BATCH.waitMs);
  assert.equal(limits.HEARTBEAT_CHECK_EVERY_MS, HEARTBEAT.intervalMs);
});

test('limits fit into one another', () => {
  const DAY_MS = 86_400_000;
  // An operation is refused as too old before what would tell that it was settled is forgotten.
  assert.ok(limits.REPLAYED_OPERATION_AGE_MS_MAX + DAY_MS <= limits.TOMBSTONE_AGE_MS_MIN);
  // Whoever still holds a record hears of its deletion before the tombstone goes.
  assert.ok(limits.CURSOR_AGE_MS_MAX < limits.TOMBSTONE_AGE_MS_MIN);
  // A feed that stood still is found out within the window that is read again.
  assert.ok(
    limits.FEED_CHECK_AGE_MS_MAX + limits.HEARTBEAT_AGE_MS_MAX + limits.HEARTBEAT_GAP_MS_MAX <=
      limits.FEED_SETTLE_MS,
  );
  assert.ok(limits.HEARTBEAT_EVERY_MS < limits.HEARTBEAT_AGE_MS_MAX);
  assert.equal(60_000 % limits.HEARTBEAT_EVERY_MS, 0);
  assert.equal(limits.HEARTBEAT_CHECK_EVERY_MS % limits.HEARTBEAT_EVERY_MS, 0);
  // The largest payload, all sessions and the outbox (64 KB) fit an item of 400 KB.
  assert.ok(limits.PAYLOAD_BYTES_MAX + limits.SETTLED_BYTES_MAX + 64 * 1024 < 400 * 1024);
  assert.ok(limits.PAYLOAD_BYTES_MAX < limits.BODY_BYTES_MAX);
  // A page of payloads, the last one too, fits what Lambda answers with.
  assert.ok(limits.ANSWER_PAYLOAD_BYTES_MAX + limits.PAYLOAD_BYTES_MAX < 6_000_000);
});

test('a problem names its kind, and errors say whether to try again', () => {
  for (const code of Object.keys(PROBLEMS) as ProblemCode[]) {
    const it = problem(code, 'why');
    assert.equal(it.type, `urn:eden-field:problem:${code}`);
    assert.equal(it.status, PROBLEMS[code].status);
    assert.ok(it.status >= 400 && it.status < 600 && it.title !== '');
  }
  class Broken extends EdenFieldError {
    readonly code = 'broken';
    readonly retryable = false;
  }
  const cause = new Error('why');
  const broken = new Broken('it broke', { cause });
  assert.deepEqual([broken.name, broken.message, broken.cause], ['Broken', 'it broke', cause]);
});
