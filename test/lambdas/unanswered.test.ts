// Unkeyed writes that the table gives no answer to: the version that the server stamped tells whether they landed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { Functions, openFunctions } from './functions.ts';

const functions = await openFunctions();
const { running } = functions;
let ids = 0;
const newId = () => `r-${++ids}`;
const TENANT = 'acme';
type Headers = Readonly<Record<string, string>>;
const put = (id: string, body: number, headers: Headers = {}, on = functions) =>
  on.record('PUT', TENANT, id, { body, headers });
const get = (id: string) => functions.record('GET', TENANT, id, {});

/** Functions whose first write gets no answer; `meanwhile` happens before the next. */
const withoutAnswer = ({ lands = true, retryable = true, meanwhile = async () => {} }) => {
  let lost = false;
  return new Functions({
    running,
    wrap: (store) => ({
      ...store,
      async write(write) {
        if (lost) return store.write(write);
        lost = true;
        if (lands) await store.write(write);
        await meanwhile();
        throw new StoreUnavailableError('no answer', { retryable, mayHaveLanded: true });
      },
    }),
  });
};

for (const lands of [true, false])
  test(`an unkeyed write without an answer, which did ${lands ? '' : 'not '}land, is there once and answered as written`, async () => {
    for (const [method, precondition, status] of [
      ['PUT', { 'if-none-match': '*' }, 201],
      ['PUT', { 'if-match': '*' }, 200],
      ['PUT', 'its version', 200],
      ['DELETE', { 'if-match': '*' }, 204],
    ] as const) {
      const id = newId();
      const etag = status === 201 ? '' : String((await put(id, 1)).headers['etag']);
      const on = withoutAnswer({ lands });
      const headers = precondition === 'its version' ? { 'if-match': etag } : precondition;
      const reply = await on.record(method, TENANT, id, { ...(method === 'PUT' && { body: 2 }), headers });
      on.close();
      assert.equal(reply.status, status);
      const record = await functions.service.store.read({ tenant: TENANT, collection: 'notes', id });
      assert.equal(reply.headers['etag'], `"${record?.version}"`);
      const content = record?.content ?? assert.fail('expected a record');
      assert.equal(content.deleted ? 'nothing' : content.payload, method === 'PUT' ? '2' : 'nothing');
    }
  });

test('an unkeyed write without an answer that somebody wrote over since cannot be told: 503, and not sent again', async () => {
  const id = newId();
  for (const lands of [true, false]) {
    await put(id, 0, { 'if-match': '*' });
    await put(id, 0);
    const on = withoutAnswer({ lands, meanwhile: async () => void (await put(id, 3, { 'if-match': '*' })) });
    const reply = await put(id, 2, { 'if-match': '*' }, on);
    on.close();
    assert.deepEqual([reply.status, reply.body.code], [503, 'store_unavailable']);
    assert.equal((await get(id)).body.payload, 3);
  }
});

test('an unkeyed write that no other attempt can find out about is 503', async () => {
  const on = withoutAnswer({ retryable: false });
  const reply = await put(newId(), 1, {}, on);
  on.close();
  assert.deepEqual([reply.status, reply.body.code], [503, 'store_unavailable']);
});
