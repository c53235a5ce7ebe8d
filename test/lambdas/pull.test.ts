// `GET /v1/sync/pull`: pages, cursors, the settle window, and that no change is ever missed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePullCursor, encodePullCursor } from '../../lambdas/core/cursors.ts';
import { CURSOR_AGE_MS_MAX, FEED_SETTLE_MS, FEED_SHARDS } from '../../protocol/limits.ts';
import type { Change } from '../../protocol/messages.ts';
import type { Json, Operation } from '../../protocol/operations.ts';
import type { Version } from '../../protocol/versions.ts';
import { Device, EPOCH, Functions, openFunctions, openTable } from './functions.ts';

const functions = await openFunctions();
const { running } = functions;
let tenants = 0;
const newTenant = () => `t-${++tenants}`;

/** Pulls to the end of what is there. */
async function pullAll(tenant: string, cursor?: string, limit = 100) {
  const changes: Change[] = [];
  let pages = 0;
  let at = cursor;
  for (;;) {
    await functions.steady();
    const reply = await functions.pull(tenant, {
      limit: String(limit),
      ...(at !== undefined && { cursor: at }),
    });
    assert.equal(reply.status, 200, reply.text);
    assert.ok(reply.body.changes.length <= limit);
    pages += 1;
    changes.push(...reply.body.changes);
    at = reply.body.cursor;
    if (!reply.body.more) return { changes, cursor: at, pages, resync: reply.body.resync };
  }
}

/** Once the index shows as much as `count` records. */
async function pullUntil(tenant: string, count: number, cursor?: string) {
  for (let tries = 0; ; tries += 1) {
    const pulled = await pullAll(tenant, cursor);
    if (new Set(pulled.changes.map(({ id }) => id)).size >= count) return pulled;
    assert.ok(tries < 200, `expected ${count} changed records, got ${pulled.changes.length}`);
  }
}

test('a pull without a cursor is a resync and returns every record, tombstones too', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const a = device.put('a', { text: 'ü' });
  const b = device.put('b', null);
  const gone = device.delete('b', { base: b.version });
  await functions.verdicts(tenant, [a, b, gone]);
  const { changes, resync } = await pullUntil(tenant, 2);
  assert.equal(resync, true);
  assert.deepEqual(
    changes.sort((x, y) => (x.id < y.id ? -1 : 1)),
    [
      { collection: 'notes', id: 'a', version: a.version, deleted: false, payload: { text: 'ü' } },
      { collection: 'notes', id: 'b', version: gone.version, deleted: true },
    ],
  );
});

test('the next pull is none, and returns what changed since, and the last two minutes again', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  await functions.verdict(tenant, device.put('a', 1));
  const first = await pullUntil(tenant, 1);
  await functions.verdict(tenant, device.put('b', 2));
  const second = await pullUntil(tenant, 2, first.cursor);
  assert.equal(second.resync, false);
  assert.deepEqual(second.changes.map(({ id }) => id).sort(), ['a', 'b']);
});

test('once two minutes have passed a change is not returned again, and the quiet shards’ checkpoint moves along', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  await functions.verdict(tenant, device.put('a', 1));
  const first = await pullUntil(tenant, 1);
  const later = new Functions({ running });
  later.offsetMs = FEED_SETTLE_MS + 5_000;
  await later.steady();
  const second = await later.pull(tenant, { cursor: first.cursor });
  assert.equal(second.body.changes.length, 1, 'it was still in the window when that cursor was made');
  const third = await later.pull(tenant, { cursor: second.body.cursor });
  assert.equal(third.body.changes.length, 0);
  const cursor = decodePullCursor(third.body.cursor) ?? assert.fail();
  assert.equal(
    cursor.checkpoint,
    Math.trunc(cursor.startedMs - FEED_SETTLE_MS)
      .toString(16)
      .padStart(12, '0'),
  );
  await functions.steady();
  later.close();
});

test('pages hold no more than asked for, and together everything once', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const operations = Array.from({ length: 36 }, (_, n) => device.put(`n-${n}`, n));
  await functions.verdicts(tenant, operations);
  await pullUntil(tenant, 36);
  for (const limit of [1, 7, 1_000]) {
    const { changes, pages, resync } = await pullAll(tenant, undefined, limit);
    assert.equal(resync, true);
    assert.ok(pages >= 36 / limit);
    assert.deepEqual(changes.map(({ id }) => id).sort(), operations.map(({ id }) => id).sort());
  }
});

test('few changes come on one page, even where it is shorter than there are shards', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  await functions.verdicts(tenant, [device.put('a', 1), device.put('b', 2)]);
  await pullUntil(tenant, 2);
  const { body } = await functions.pull(tenant, { limit: '5' });
  assert.deepEqual(body.changes.map(({ id }) => id).sort(), ['a', 'b']);
  assert.equal(body.more, false);
});

test('an answer stays below what Lambda can return, and the next page goes on from there', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const operations = Array.from({ length: 24 }, (_, n) => device.put(`big-${n}`, 'x'.repeat(250_000)));
  for (let n = 0; n < operations.length; n += 3) await functions.verdicts(tenant, operations.slice(n, n + 3));
  await pullUntil(tenant, 24);
  const seen: string[] = [];
  let cursor: string | undefined;
  for (let more = true; more; ) {
    const reply = await functions.pull(tenant, { limit: '1000', ...(cursor && { cursor }) });
    assert.ok(reply.text.length < 5 * 1024 * 1024, `${reply.text.length} bytes`);
    seen.push(...reply.body.changes.map(({ id }) => id));
    ({ cursor, more } = reply.body);
  }
  assert.deepEqual(seen.sort(), operations.map(({ id }) => id).sort());
});

test('a pull is refused while the feed is not known to be complete', async () => {
  const tenant = newTenant();
  for (const [checkedAgoMs, steadyForMs, status] of [
    [0, 20_000, 200],
    [0, 19_000, 503],
    [59_000, 60_000, 200],
    [61_000, 600_000, 503],
  ] as const) {
    await functions.steady(checkedAgoMs, steadyForMs);
    const reply = await functions.pull(tenant);
    assert.equal(reply.status, status, `checked ${checkedAgoMs} ms ago, steady for ${steadyForMs} ms`);
    if (status === 503) assert.equal(reply.body.code, 'feed_unsteady');
  }
  const elsewhere = new Functions({ running, role: 'standby' });
  assert.equal((await elsewhere.pull(tenant)).body.code, 'feed_unsteady', 'that region was never checked');
  elsewhere.close();
  await functions.steady();
});

test('a cursor is refused with 410 after 90 days, counted from where its pull began', async () => {
  const tenant = newTenant();
  const { cursor } = await pullAll(tenant);
  const whole = decodePullCursor(cursor) ?? assert.fail();
  const aged = (days: number, over = {}) =>
    encodePullCursor({ ...whole, startedMs: Date.now() - days * 86_400_000, ...over });
  assert.equal(CURSOR_AGE_MS_MAX, 90 * 86_400_000);
  assert.equal((await functions.pull(tenant, { cursor: aged(89.9) })).status, 200);
  for (const positions of [undefined, Array.from({ length: FEED_SHARDS }, () => '0')]) {
    const reply = await functions.pull(tenant, { cursor: aged(90.1, positions && { positions }) });
    assert.deepEqual([reply.status, reply.body.code], [410, 'cursor_expired']);
  }
});

test('a cursor from before a restore starts a resync from nothing', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  await functions.verdict(tenant, device.put('a', 1));
  const { cursor } = await pullUntil(tenant, 1);
  const old = encodePullCursor({
    ...(decodePullCursor(cursor) ?? assert.fail()),
    restoreEpoch: EPOCH - 1,
    checkpoint: 'f'.repeat(12),
  });
  const reply = await functions.pull(tenant, { cursor: old });
  assert.equal(reply.body.resync, true);
  assert.equal(reply.body.changes.length, 1);
});

test('a cursor is good for its tenant only, and garbage is 400', async () => {
  const [tenant, other] = [newTenant(), newTenant()];
  const { cursor } = await pullAll(tenant);
  for (const bad of ['', 'x', '!!!', cursor.slice(4), Buffer.from('["pull1"]').toString('base64url')])
    assert.equal((await functions.pull(tenant, { cursor: bad })).status, 400, bad);
  assert.equal((await functions.pull(other, { cursor })).status, 400);
});

for (const limit of ['0', '1001', 'all', '-5', '1.0'])
  test(`the limit ${limit} is 400`, async () => {
    assert.equal((await functions.pull('acme', { limit })).status, 400);
  });

test('a tenant’s pull holds nothing of another', async () => {
  const [mine, theirs] = ['same', 'same-not'];
  await functions.verdict(theirs, new Device().put('a', 'theirs'));
  await functions.verdict(mine, new Device().put('a', 'mine'));
  const { changes } = await pullUntil(mine, 1);
  assert.deepEqual(
    changes.map(({ payload }) => payload),
    ['mine'],
  );
});

test('a damaged record fails the pull instead of being passed over or served', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  await functions.verdict(tenant, device.put('a', 1));
  const { cursor } = await pullUntil(tenant, 1);
  await functions.damage(tenant, 'notes', 'a');
  const reply = await functions.pull(tenant, { cursor });
  assert.equal(reply.status, 500);
});

test('a cursor fits into a request line even with the longest ids', async () => {
  const [tenant, device] = ['l'.repeat(63), new Device()];
  const operations = Array.from({ length: 100 }, (_, n) => device.put(`${n}-`.padEnd(255, 'x'), n));
  await functions.verdicts(tenant, operations);
  await pullUntil(tenant, 100);
  const { body } = await functions.pull(tenant, { limit: '40' });
  assert.ok(body.more);
  // API Gateway takes 10,240 bytes of request line and headers.
  assert.ok(body.cursor.length < 8_000, `${body.cursor.length} bytes`);
});

test('nobody who pulls while others write ever misses a change', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const random = generator(seed);
  const tenant = newTenant();
  const lagging = await openTable({ itemLag: { min: 0, max: 2 }, indexLag: { min: 0, max: 8 } });
  const functions = new Functions({ running: lagging });
  await functions.open();
  const writers = Array.from({ length: 4 }, () => new Device());
  const expected = new Map<string, { readonly version: Version; readonly payload: Json | undefined }>();

  /** Every writer has records of its own, so that nothing conflicts and what must be seen is known. */
  const write = async (device: Device, nth: number) => {
    for (let round = 0; round < 8; round += 1) {
      const ids = new Set(
        Array.from({ length: 1 + Math.floor(random() * 6) }, () => `w${nth}-${Math.floor(random() * 15)}`),
      );
      const operations: Operation[] = [...ids].map((id) => {
        const base = expected.get(id)?.version;
        const rest = base === undefined ? {} : { base };
        return random() < 0.2 ? device.delete(id, rest) : device.put(id, Math.floor(random() * 1e6), rest);
      });
      const verdicts = await functions.verdicts(tenant, operations);
      for (const [index, operation] of operations.entries()) {
        assert.equal(verdicts[index]?.verdict, 'applied');
        expected.set(operation.id, {
          version: operation.version,
          payload: operation.kind === 'put' ? operation.payload : undefined,
        });
      }
    }
  };
  /** What one puller holds, by the client's rules: higher versions win, a resync drops what it did not return. */
  const held = new Map<string, { readonly version: Version; readonly payload: Json | undefined }>();
  let cursor: string | undefined;
  const pullOnce = async () => {
    await functions.steady();
    const limit = String(1 + Math.floor(random() * 20));
    const { status, body, text } = await functions.pull(tenant, {
      limit,
      ...(cursor !== undefined && { cursor }),
    });
    // A replica that is behind may refuse; a client tries again.
    if (status === 503) return true;
    assert.equal(status, 200, text);
    for (const { id, version, payload } of body.changes)
      if (version >= (held.get(id)?.version ?? '')) held.set(id, { version, payload });
    // Sometimes the answer is lost on its way, and the same cursor is used again.
    if (random() < 0.8) cursor = body.cursor;
    return body.more;
  };
  let writing = true;
  const pulling = (async () => {
    while (writing) await pullOnce();
  })();
  await Promise.all(writers.map(write));
  writing = false;
  await pulling;
  // The index may still be catching up.
  for (const giveUpAt = Date.now() + 20_000; Date.now() < giveUpAt; ) {
    const more = await pullOnce();
    if (!more && isEqual(held, expected)) break;
  }
  assert.deepEqual(sorted(held), sorted(expected));
  functions.close();
  await lagging.close();
});

const sorted = (map: ReadonlyMap<string, unknown>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
const isEqual = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>) =>
  JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));

/** Mulberry32: small, seeded, good enough to vary a test. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
