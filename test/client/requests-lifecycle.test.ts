// The request layer over real sockets: tokens, closing, listeners.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientClosedError, DeadlineError, TokenError } from '../../client/errors.ts';
import { answering, type Behaviour, ok, silent } from './regions.ts';
import { GET, put, rejection, setUp, unkeyed, until } from './set-up.ts';

test('a token is asked for once by all, sent as bearer, and kept', async (t) => {
  let asked = 0;
  const { requests, primary } = await setUp(t, [ok, ok], {
    token: async () => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return 'abc.def.ghi';
    },
  });
  await Promise.all([1, 2, 3].map(() => requests.request(put())));
  await requests.request(put());
  assert.equal(asked, 1);
  for (const { headers } of primary.received) assert.equal(headers.authorization, 'Bearer abc.def.ghi');
});

const bearer =
  (good: string): Behaviour =>
  (request, response, body) =>
    (request.headers.authorization === `Bearer ${good}` ? ok : answering(401))(request, response, body);

test('status 401 renews the token once for all, and nothing is lost', async (t) => {
  const refused: (string | undefined)[] = [];
  const { requests, standby } = await setUp(t, [bearer('new'), bearer('new')], {
    token: async (old) => {
      refused.push(old);
      return old === undefined ? 'old' : 'new';
    },
  });
  const answers = await Promise.all([1, 2, 3, 4].map(() => requests.request(put())));
  for (const answer of answers) assert.equal(answer.status, 200);
  assert.deepEqual(refused, [undefined, 'old']);
  assert.equal(standby.received.length, 0);
});

test('a fresh token that is refused too settles the request with 401', async (t) => {
  const { requests, primary } = await setUp(t, [answering(401), ok], { token: async () => 'bad' });
  const answer = await requests.request(put());
  assert.equal(answer.status, 401);
  assert.equal(primary.received.length, 2);
});

test('a write without identity is sent again after 401, since nothing came of it', async (t) => {
  const { requests } = await setUp(t, [bearer('new'), ok], {
    token: async (old) => (old === undefined ? 'old' : 'new'),
  });
  assert.equal((await requests.request(unkeyed)).status, 200);
});

test('a token source that fails or gives nonsense ends the request by name, without the token', async (t) => {
  const failing = await setUp(t, [ok, ok], {
    token: () => Promise.reject(new Error('the provider is down')),
  });
  const error = await rejection(failing.requests.request(put()));
  assert.ok(error instanceof TokenError && error.retryable);
  assert.equal((error.cause as Error).message, 'the provider is down');
  const nonsense = await setUp(t, [ok, ok], { token: async () => 'secret\nx-admin: yes' });
  const refused = await rejection(nonsense.requests.request(put()));
  assert.ok(refused instanceof TokenError);
  assert.doesNotMatch(`${refused.message} ${(refused.cause as Error).message}`, /secret/);
});

test('a token source that never answers is bounded by the deadline', async (t) => {
  const { requests } = await setUp(t, [ok, ok], {
    token: () => new Promise(() => undefined),
    deadlineMs: 100,
  });
  assert.ok((await rejection(requests.request(put()))) instanceof DeadlineError);
});

test('closing ends everything under way, refuses what comes later, and leaves no socket', async (t) => {
  const { requests, primary, standby } = await setUp(t, [silent, silent]);
  const running = [rejection(requests.request(put())), rejection(requests.request(GET))];
  await until(() => primary.received.length === 2);
  await requests.close();
  for (const error of await Promise.all(running)) assert.ok(error instanceof ClientClosedError);
  assert.ok((await rejection(requests.request(put()))) instanceof ClientClosedError);
  await until(() => primary.sockets.size === 0 && standby.sockets.size === 0);
  await requests.close();
});

test('a listener that throws is seen, and disturbs no request', async (t) => {
  const seen: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => seen.push(error));
  try {
    const { requests } = await setUp(t, [ok, ok], {
      onEvent: () => {
        throw new Error('listener');
      },
    });
    assert.equal((await requests.request(put())).status, 200);
    await until(() => seen.length > 0);
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
});

test('requests that are wrong in themselves are refused before anything is sent', async (t) => {
  const { requests, primary } = await setUp(t, [ok, ok]);
  await assert.rejects(
    requests.request({ method: 'GET', path: 'no-slash' }),
    /begins with \/, got "no-slash"/,
  );
  await assert.rejects(requests.request({ ...GET, deadlineMs: 0 }), /deadlineMs .* got 0/);
  assert.equal(primary.received.length, 0);
});
