// `/v1/records`: reads, keyed and conditional writes, and the statuses that verdicts become.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device, Functions, openFunctions, withoutReplicas } from './functions.ts';

const functions = await openFunctions();
const { running } = functions;
let ids = 0;
const newId = () => `r-${++ids}`;
const TENANT = 'acme';

type Headers = Readonly<Record<string, string>>;
const put = (id: string, body: object | number | string, headers: Headers = {}, on = functions) =>
  on.record('PUT', TENANT, id, { body, headers });
const remove = (id: string, headers: Headers = {}) => functions.record('DELETE', TENANT, id, { headers });
const get = (id: string, headers: Headers = {}) => functions.record('GET', TENANT, id, { headers });
/** Headers of a keyed write; each call is a new operation. */
const keyed = (device: Device, base?: string): { readonly [name: string]: string } => {
  const { session, sequence, version } = device.put('any', 0);
  return {
    'idempotency-key': `${session}:${sequence}`,
    'eden-version': version,
    ...(base !== undefined && { 'if-match': `"${base}"` }),
  };
};

test('a record is created, read, and known by its version', async () => {
  const id = newId();
  const created = await put(id, { b: [1, 2], a: 'ü' });
  assert.equal(created.status, 201);
  assert.equal(created.headers['location'], `/v1/records/notes/${id}`);
  assert.equal(created.headers['eden-verdict'], undefined);
  const read = await get(id);
  assert.equal(read.status, 200);
  assert.equal(read.headers['etag'], created.headers['etag']);
  assert.equal(
    read.text,
    `{"collection":"notes","id":"${id}","version":"${created.body.version}","payload":{"a":"ü","b":[1,2]}}`,
  );
});

test('a missing record, and a deleted one, is 404', async () => {
  const id = newId();
  assert.equal((await get(id)).status, 404);
  const { headers } = await put(id, {});
  assert.equal((await remove(id, { 'if-match': headers['etag'] as string })).status, 204);
  const gone = await get(id);
  assert.deepEqual([gone.status, gone.body.code], [404, 'not_found']);
});

test('If-None-Match on a read answers 304 for the stored version, weak or in a list, and 200 for others', async () => {
  const id = newId();
  const { headers } = await put(id, {});
  const etag = headers['etag'] as string;
  for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*'])
    assert.equal((await get(id, { 'if-none-match': known })).status, 304, known);
  for (const known of ['"x"', etag.replaceAll('"', ''), 'W/"x"', ''])
    assert.equal((await get(id, { 'if-none-match': known })).status, 200, known);
});

test('any JSON value is a payload, and comes back the same', async () => {
  for (const payload of ['null', 'true', '"text"', '0', '-0.5', '[]', '{"":{"":""}}', '1e-7']) {
    const id = newId();
    assert.equal((await put(id, payload)).status, 201);
    assert.deepEqual((await get(id)).body.payload, JSON.parse(payload));
  }
});

/** Every precondition on a missing record, an existing one, and a tombstone. */
const TABLE: readonly [
  string,
  Headers,
  string,
  Readonly<Record<'missing' | 'live' | 'tombstone', number>>,
][] = [
  ['PUT', {}, 'nothing', { missing: 201, live: 428, tombstone: 201 }],
  ['PUT', { 'if-none-match': '*' }, 'If-None-Match: *', { missing: 201, live: 412, tombstone: 201 }],
  ['PUT', { 'if-match': '*' }, 'If-Match: *', { missing: 412, live: 200, tombstone: 412 }],
  ['PUT', { 'if-match': 'CURRENT' }, 'If-Match: its version', { missing: 412, live: 200, tombstone: 412 }],
  ['PUT', { 'if-match': 'OTHER' }, 'If-Match: another version', { missing: 412, live: 412, tombstone: 412 }],
  [
    'PUT',
    { 'if-match': '"no-version"' },
    'If-Match: no version',
    { missing: 412, live: 412, tombstone: 412 },
  ],
  ['PUT', { 'if-match': 'W/CURRENT' }, 'If-Match: a weak tag', { missing: 412, live: 412, tombstone: 412 }],
  ['DELETE', {}, 'nothing', { missing: 404, live: 428, tombstone: 404 }],
  ['DELETE', { 'if-match': '*' }, 'If-Match: *', { missing: 412, live: 204, tombstone: 412 }],
  ['DELETE', { 'if-match': 'CURRENT' }, 'If-Match: its version', { missing: 412, live: 204, tombstone: 412 }],
  [
    'DELETE',
    { 'if-match': 'OTHER' },
    'If-Match: another version',
    { missing: 412, live: 412, tombstone: 412 },
  ],
];
const OTHER = `"018bcfe56800-0001-${'a'.repeat(16)}"`;

for (const [method, headers, precondition, statuses] of TABLE)
  for (const [state, expected] of Object.entries(statuses))
    test(`an unkeyed ${method} with ${precondition} on a ${state} record is ${expected}`, async () => {
      const id = newId();
      let etag = OTHER;
      if (state !== 'missing') etag = (await put(id, { n: 1 })).headers['etag'] as string;
      if (state === 'tombstone') etag = (await remove(id, { 'if-match': etag })).headers['etag'] as string;
      const sent = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [
          name,
          value.replace('CURRENT', etag).replace('OTHER', OTHER),
        ]),
      );
      const reply = await functions.record(method, TENANT, id, {
        headers: sent,
        ...(method === 'PUT' && { body: { n: 2 } }),
      });
      assert.equal(reply.status, expected, reply.text);
      const after = await get(id);
      if (expected >= 400) {
        assert.equal(after.status, state === 'live' ? 200 : 404);
        if (state === 'live') assert.equal(reply.headers['etag'], etag);
      } else if (method === 'PUT') {
        assert.deepEqual(after.body.payload, { n: 2 });
        assert.equal(after.headers['etag'], reply.headers['etag']);
        assert.ok((reply.headers['etag'] as string) > etag, 'the version only goes up');
      } else assert.equal(after.status, 404);
    });

test('of many unkeyed creators at once one wins, and the rest hear of it', async () => {
  const id = newId();
  const replies = await Promise.all(
    Array.from({ length: 10 }, (_, n) => put(id, { n }, { 'if-none-match': '*' })),
  );
  assert.deepEqual(replies.map(({ status }) => status).sort(), [
    201,
    ...Array.from({ length: 9 }, () => 412),
  ]);
});

test('unkeyed overwriters at once all succeed, each on top of another', async () => {
  const id = newId();
  await put(id, { n: -1 });
  const replies = await Promise.all(Array.from({ length: 4 }, (_, n) => put(id, { n }, { 'if-match': '*' })));
  assert.deepEqual(
    replies.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  const last = replies
    .map(({ headers }) => headers['etag'] as string)
    .sort()
    .at(-1);
  assert.equal((await get(id)).headers['etag'], last);
});

test('an unkeyed write goes above a stored version whose author’s clock is ahead', async () => {
  const [id, device] = [newId(), new Device()];
  const version = device.version(Date.now() + 50_000);
  await put(id, 1, { 'idempotency-key': `${device.session}:1`, 'eden-version': version });
  const reply = await put(id, 2, { 'if-match': `"${version}"` });
  assert.equal(reply.status, 200);
  assert.ok(reply.body.version > version);
});

for (const [headers, what] of [
  [{ 'if-match': '*', 'if-none-match': '*' }, 'both preconditions'],
  [{ 'if-none-match': OTHER }, 'If-None-Match with a version'],
  [{ 'if-match': `${OTHER}, ${OTHER}` }, 'If-Match with two versions'],
  [{ 'if-match': 'unquoted' }, 'If-Match without quotes'],
] as const)
  test(`an unkeyed write with ${what} is 400`, async () => {
    const reply = await put(newId(), 1, headers);
    assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request']);
  });

test('a keyed write is applied once: 201, then duplicates with 200 and the same version', async () => {
  const [id, device] = [newId(), new Device()];
  const headers = keyed(device);
  const first = await put(id, { n: 1 }, headers);
  assert.deepEqual([first.status, first.headers['eden-verdict']], [201, 'applied']);
  assert.equal(first.headers['etag'], `"${headers['eden-version']}"`);
  const again = await put(id, { n: 1 }, headers);
  assert.deepEqual([again.status, again.headers['eden-verdict']], [200, 'duplicate']);
  assert.equal(again.headers['etag'], first.headers['etag']);
});

test('a keyed replacement is 200, a keyed deletion 204, both the second time too', async () => {
  const [id, device] = [newId(), new Device()];
  const first = keyed(device);
  await put(id, 1, first);
  const second = keyed(device, first['eden-version']);
  assert.equal((await put(id, 2, second)).status, 200);
  const third = keyed(device, second['eden-version']);
  for (const verdict of ['applied', 'duplicate']) {
    const reply = await remove(id, third);
    assert.deepEqual([reply.status, reply.headers['eden-verdict']], [204, verdict]);
  }
});

test('a keyed write and the same operation pushed are one operation', async () => {
  const [id, device] = [newId(), new Device()];
  const operation = device.put(id, { n: 1 });
  await put(
    id,
    { n: 1 },
    {
      'idempotency-key': `${operation.session}:${operation.sequence}`,
      'eden-version': operation.version,
    },
  );
  assert.equal((await functions.verdict(TENANT, operation)).verdict, 'duplicate');
});

test('a keyed write in a conflict that no vote decides is deferred: 503, to be sent again', async () => {
  const [id, a, b] = [newId(), new Device(), new Device()];
  await put(id, 1, keyed(a));
  const alone = new Functions({ running, wrap: withoutReplicas });
  const reply = await put(id, 2, keyed(b), alone);
  alone.close();
  assert.deepEqual(
    [
      reply.status,
      reply.body.code,
      reply.body.reason,
      reply.headers['retry-after'],
      reply.headers['eden-verdict'],
    ],
    [503, 'deferred', 'no_quorum', '1', 'deferred'],
  );
});

test('a keyed write that lost the vote is 409 with the stored version', async () => {
  const [id, a, b] = [newId(), new Device(), new Device()];
  const earlier = { ...keyed(b), 'eden-version': new Device(b.file).version(Date.now() - 1_000) };
  const first = await put(id, 1, keyed(a));
  const reply = await put(id, 2, earlier);
  assert.deepEqual(
    [reply.status, reply.body.code, reply.headers['eden-verdict']],
    [409, 'superseded', 'superseded'],
  );
  assert.equal(reply.headers['etag'], first.headers['etag']);
  assert.equal(reply.body.version, first.body.version);
});

test('a keyed write that won the vote is the state, and created nothing', async () => {
  const [id, a, b] = [newId(), new Device(), new Device()];
  await put(id, 1, keyed(a));
  const reply = await put(id, 2, { ...keyed(b), 'eden-version': b.version(Date.now() + 1_000) });
  assert.deepEqual([reply.status, reply.headers['eden-verdict']], [200, 'applied']);
  assert.equal((await get(id)).body.payload, 2);
});

test('a keyed write ahead of the server’s clock is 409 with the server’s time', async () => {
  const device = new Device();
  const headers = { ...keyed(device), 'eden-version': device.version(Date.now() + 120_000) };
  const reply = await put(newId(), 1, headers);
  assert.deepEqual(
    [reply.status, reply.body.code, reply.headers['eden-verdict']],
    [409, 'clock_ahead', 'clock_ahead'],
  );
  assert.ok(Math.abs(reply.body.serverTimeMs - Date.now()) < 5_000);
});

test('a keyed write over 90 days old is 422', async () => {
  const headers = {
    ...keyed(new Device()),
    'eden-version': new Device().version(Date.now() - 91 * 86_400_000),
  };
  const reply = await put(newId(), 1, headers);
  assert.deepEqual([reply.status, reply.body.code, reply.body.reason], [422, 'rejected', 'too_old']);
});

const SESSION = 'a'.repeat(32);
const VERSION = new Device().version();
for (const [headers, what] of [
  [{ 'idempotency-key': `${SESSION}:1` }, 'no version'],
  [{ 'eden-version': VERSION }, 'no key'],
  [{ 'idempotency-key': `${SESSION}:0`, 'eden-version': VERSION }, 'sequence 0'],
  [{ 'idempotency-key': `${SESSION}:9999999999999999`, 'eden-version': VERSION }, 'an unsafe sequence'],
  [{ 'idempotency-key': SESSION, 'eden-version': VERSION }, 'no sequence'],
  [{ 'idempotency-key': `${SESSION.toUpperCase()}:1`, 'eden-version': VERSION }, 'an upper-case session'],
  [{ 'idempotency-key': `${SESSION}:1`, 'eden-version': 'now' }, 'no real version'],
  [{ 'idempotency-key': `${SESSION}:1`, 'eden-version': VERSION, 'if-none-match': '*' }, 'If-None-Match'],
  [{ 'idempotency-key': `${SESSION}:1`, 'eden-version': VERSION, 'if-match': '*' }, 'If-Match: *'],
  [
    { 'idempotency-key': `${SESSION}:1`, 'eden-version': VERSION, 'if-match': `"${VERSION}"` },
    'its own base',
  ],
] as const)
  test(`a keyed write with ${what} is 400`, async () => {
    const reply = await put(newId(), 1, headers);
    assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request'], reply.text);
  });

test('a payload of 256 KB is kept, one more byte is 413', async () => {
  const id = newId();
  assert.equal((await put(id, JSON.stringify('x'.repeat(256 * 1024 - 2)))).status, 201);
  assert.equal((await get(id)).body.payload, 'x'.repeat(256 * 1024 - 2));
  const reply = await put(newId(), JSON.stringify('x'.repeat(256 * 1024 - 1)));
  assert.deepEqual([reply.status, reply.body.code], [413, 'too_large']);
  // What counts is the canonical form, not the spaces around it.
  assert.equal((await put(newId(), `[${' '.repeat(300_000)}1]`)).status, 201);
});

test('a tenant sees nothing of another, whatever the path and headers say', async () => {
  const id = newId();
  assert.equal((await put(id, '"secret"')).status, 201);
  for (const tenant of ['other', 'acm', 'acme-2']) {
    assert.equal((await functions.record('GET', tenant, id)).status, 404);
    assert.equal(
      (await functions.record('PUT', tenant, id, { body: 1, headers: { tenant: TENANT } })).status,
      201,
    );
  }
  assert.equal((await get(id)).body.payload, 'secret');
});

for (const tenant of [undefined, '', 'ACME', 'a#b', 'a/b', '../x', 'x'.repeat(64)])
  test(`a token for the tenant ${JSON.stringify(tenant)} is 403`, async () => {
    const reply = await functions.call('GET', '/v1/records/{collection}/{id}', {
      ...(tenant !== undefined && { tenant }),
      params: { collection: 'notes', id: 'a' },
    });
    assert.deepEqual([reply.status, reply.body.code], [403, 'forbidden']);
  });

for (const id of [
  '',
  '#',
  'a#b',
  'a/b',
  '..',
  '.',
  '-a',
  '~a',
  'a b',
  'ä',
  'a%00',
  'a\n',
  'x'.repeat(256),
  '%',
  '%zz',
])
  test(`the id ${JSON.stringify(id).slice(0, 20)} is 400`, async () => {
    const reply = await functions.record('PUT', TENANT, id, { body: 1 });
    assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request']);
  });

test('an id whose characters were percent-encoded without need is the same id', async () => {
  assert.equal((await put('a~b.c', '"there"')).status, 201);
  assert.equal((await get('%61%7Eb%2Ec')).body.payload, 'there');
});

test('a damaged payload is never served: 500, counted and logged', async () => {
  const id = newId();
  await put(id, { n: 1 });
  await functions.damage(TENANT, 'notes', id);
  const reply = await get(id);
  assert.deepEqual([reply.status, reply.body.code], [500, 'internal']);
  assert.equal(functions.telemetry.sum('data_corruption'), 1);
  assert.match(functions.telemetry.errors.at(-1) ?? '', /does not match its SHA-256/);
});
