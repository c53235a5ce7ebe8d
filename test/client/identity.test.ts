// Sessions: keys that are never given twice, versions that only rise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { idempotencyKey, Session } from '../../client/identity.ts';
import { IDEMPOTENCY_KEY_PATTERN } from '../../protocol/names.ts';
import { asVersion, clockOf, compareVersions, makerOf, versionOf } from '../../protocol/versions.ts';

test('two sessions never share a key, even of one file', () => {
  const [one, two] = [new Session({ fileId: '0'.repeat(16) }), new Session({ fileId: '0'.repeat(16) })];
  assert.notEqual(one.next().key, two.next().key);
  assert.match(one.id, /^[0-9a-f]{32}$/);
});

test('sequences count from 1', () => {
  const session = new Session();
  assert.deepEqual(
    [1, 2, 3].map(() => session.next().key),
    [1, 2, 3].map((sequence) => `${session.id}:${sequence}`),
  );
});

test('versions rise whatever the clock does, and pass every version seen', () => {
  const step = fc.oneof(
    fc.record({ now: fc.integer({ min: 0, max: 2 ** 43 }) }),
    fc.record({ seen: fc.integer({ min: 0, max: 2 ** 43 }), counter: fc.nat({ max: 0xffff }) }),
  );
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let now = 0;
      const session = new Session({ now: () => now + 0.5 });
      let highest = asVersion('000000000000-0000-0000000000000000');
      for (const it of steps) {
        if ('now' in it) now = it.now;
        else {
          const seen = versionOf({ ms: it.seen, counter: it.counter }, 'f'.repeat(16));
          session.observe(seen);
          if (compareVersions(seen, highest) > 0) highest = seen;
        }
        const { key, version } = session.next();
        assert.match(key, IDEMPOTENCY_KEY_PATTERN);
        assert.equal(compareVersions(version, highest), 1);
        assert.equal(makerOf(version), session.fileId);
        highest = version;
      }
      assert.deepEqual(clockOf(highest).ms >= 0, true);
    }),
  );
});

test('a clock kept from before goes on from there', () => {
  const session = new Session({ clock: { ms: 5_000, counter: 3 }, now: () => 1_000 });
  assert.deepEqual(clockOf(session.next().version), { ms: 5_000, counter: 4 });
  assert.deepEqual(session.clock, { ms: 5_000, counter: 4 });
});

test('what is no file id, session or sequence is refused by name', () => {
  assert.throws(() => new Session({ fileId: 'short' }), /16 hex digits, got "short"/);
  for (const [session, sequence] of [
    ['x', 1],
    ['0'.repeat(32), 0],
    ['0'.repeat(32), 1.5],
    ['0'.repeat(32), Number.NaN],
    ['0'.repeat(32), 2 ** 60],
  ] as const)
    assert.throws(() => idempotencyKey(session, sequence), RangeError);
});
