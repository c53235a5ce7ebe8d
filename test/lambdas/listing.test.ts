// `GET /v1/records/{collection}`: pages of a collection, complete however one pages through them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFunctions } from './functions.ts';

const functions = await openFunctions();

test('a listing returns every live record of the collection, page by page, and nothing else', async () => {
  const tenant = 'lister';
  const expected = new Map<string, number>();
  for (let n = 0; n < 36; n += 1) {
    const reply = await functions.record('PUT', tenant, `i-${n}`, { body: n });
    if (n % 6 === 0)
      await functions.record('DELETE', tenant, `i-${n}`, {
        headers: { 'if-match': reply.headers['etag'] as string },
      });
    else expected.set(`i-${n}`, n);
  }
  await functions.call('PUT', '/v1/records/{collection}/{id}', {
    tenant,
    params: { collection: 'notes-2', id: 'x' },
    body: 1,
  });
  await functions.record('PUT', 'lister-2', 'x', { body: 1 });
  for (const limit of [1, 7, 100]) {
    const found = new Map<string, unknown>();
    let query: Record<string, string> = { limit: String(limit) };
    for (;;) {
      const page = await list(tenant, query);
      assert.equal(page.status, 200);
      assert.ok(page.body.records.length <= limit);
      for (const { id, payload } of page.body.records) {
        assert.ok(!found.has(id), `${id} came twice`);
        found.set(id, payload);
      }
      if (page.body.cursor === undefined) break;
      query = { limit: String(limit), cursor: page.body.cursor };
    }
    assert.deepEqual([...found].sort(), [...expected].sort());
  }
});

test('a listing says when its region’s feed is not known to be complete', async () => {
  await functions.steady();
  assert.equal((await list('lister')).headers['eden-degraded'], undefined);
  await functions.steady(61_000);
  assert.equal((await list('lister')).headers['eden-degraded'], 'feed_unsteady; region=us-east-2');
  await functions.steady();
});

test('a listing’s cursor is good for its tenant and collection only', async () => {
  const { body } = await list('lister', { limit: '1' });
  for (const cursor of ['', 'garbage', body.cursor.slice(2), `${body.cursor}x`.repeat(2)])
    assert.equal((await list('lister', { cursor })).status, 400, cursor);
  assert.equal((await list('lister-2', { cursor: body.cursor })).status, 400);
});

for (const limit of ['0', '101', '-1', '1.5', '', 'x', '1e1', ' 1'])
  test(`a listing’s limit ${JSON.stringify(limit)} is 400`, async () => {
    assert.equal((await list('lister', { limit })).status, 400);
  });

const list = (tenant: string, query: Readonly<Record<string, string>> = {}) =>
  functions.call('GET', '/v1/records/{collection}', { tenant, params: { collection: 'notes' }, query });
