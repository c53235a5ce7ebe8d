// The request layer over real sockets, in this process: errors, refusals, hedges, deadlines, budgets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadlineError, RequestAbortedError, RequestFailedError } from '../../client/errors.ts';
import { Requests } from '../../client/requests.ts';
import { after, answering, type Behaviour, localRegion, ok, silent } from './regions.ts';
import { GET, localRegionOf, put, rejection, session, setUp, unkeyed, until } from './set-up.ts';

test('a healthy primary gets everything, the standby nothing', async (t) => {
  // Patient, as the machine may be slow for a moment: what the client then does about it has tests of its own.
  const { requests, primary, standby } = await setUp(t, [ok, ok], { patienceMs: 5_000 });
  for (let n = 0; n < 20; n += 1) assert.equal((await requests.request(put())).status, 200);
  assert.equal(primary.received.length, 20);
  assert.equal(standby.received.length, 0);
  assert.deepEqual(requests.counts, {
    operations: 20,
    attempts: 20,
    hedges: 0,
    redirects: 0,
    fallbacks: 0,
    retries: 0,
    failures: 0,
  });
});

test('a keyed write carries its identity, its type and its length, whatever the caller adds', async (t) => {
  const { requests, primary } = await setUp(t, [ok, ok]);
  const identity = session.next();
  await requests.request({
    ...put(),
    identity,
    body: '{"a":"ä"}',
    headers: { 'Idempotency-Key': 'mine', 'If-Match': '"v"', 'eden-restore-epoch': '5' },
  });
  const headers = primary.received[0]?.headers ?? {};
  assert.equal(headers['idempotency-key'], identity.key);
  assert.equal(headers['eden-version'], identity.version);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['content-length'], '10');
  assert.equal(headers['if-match'], '"v"');
  assert.equal(headers['eden-restore-epoch'], '5');
});

test('an endpoint below a path keeps the path', async (t) => {
  const region = await localRegion();
  const requests = new Requests({ endpoints: [`${region.url}/stage/`] });
  t.after(async () => {
    await requests.close();
    await region.kill();
  });
  await requests.request(GET);
  assert.equal(region.received.at(-1)?.path, '/stage/v1/records/notes/n1');
});

for (const status of [500, 502, 503, 504, 429])
  test(`status ${status} falls back to the other region`, async (t) => {
    const { requests, primary, standby } = await setUp(t, [answering(status), ok]);
    const answer = await requests.request(put());
    assert.equal(answer.endpoint, standby.url);
    assert.deepEqual(
      answer.attempts.map(({ endpoint, kind, outcome, status }) => ({ endpoint, kind, outcome, status })),
      [
        { endpoint: primary.url, kind: 'first', outcome: status === 429 ? 'refused' : 'failed', status },
        { endpoint: standby.url, kind: 'fallback', outcome: 'settled', status: 200 },
      ],
    );
  });

for (const status of [200, 201, 204, 304, 400, 403, 404, 409, 412, 413, 422, 428])
  test(`status ${status} settles`, async (t) => {
    const { requests, standby } = await setUp(t, [answering(status), ok]);
    assert.equal((await requests.request(put())).status, status);
    assert.equal(standby.received.length, 0);
  });

test('a refused connection falls back, and after three of them the standby is asked first', async (t) => {
  const { requests, primary, standby } = await setUp(t, [ok, ok]);
  await primary.kill();
  for (let n = 0; n < 10; n += 1) assert.equal((await requests.request(put())).endpoint, standby.url);
  assert.ok(requests.counts.fallbacks <= 3, `${requests.counts.fallbacks} fallbacks`);
});

test('an answer cut short is a failure, not a short answer', async (t) => {
  const { requests, standby } = await setUp(t, [
    (_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"half":');
      setTimeout(() => response.destroy(), 5);
    },
    answering(200, {}, '{"whole":true}'),
  ]);
  const answer = await requests.request(GET);
  assert.equal(answer.endpoint, standby.url);
  assert.equal(answer.body.toString(), '{"whole":true}');
});

test('a write without identity is sent once, and its failure says that it may have happened', async (t) => {
  const { requests, primary, standby } = await setUp(t, [answering(500, {}, 'oops'), ok]);
  const error = await rejection(requests.request(unkeyed));
  assert.ok(error instanceof RequestFailedError);
  assert.equal(error.retryable, false);
  assert.equal(error.status, 500);
  assert.equal(error.code, 'REQUEST_FAILED');
  assert.deepEqual(error.endpoints, [primary.url]);
  assert.match(String((error.cause as Error).message), /answered 500: oops/);
  assert.equal(primary.received.length + standby.received.length, 1);
});

test('a slow write without identity is neither hedged nor redirected', async (t) => {
  const { requests, standby } = await setUp(t, [after(250), ok]);
  await Promise.all([1, 2, 3, 4].map(() => requests.request(unkeyed)));
  assert.equal(standby.received.length, 0);
});

test('a push may be repeated: its operations carry their identity in the body', async (t) => {
  const { requests, standby } = await setUp(t, [answering(500), ok]);
  const answer = await requests.request({
    method: 'POST',
    path: '/v1/sync/push',
    body: '{}',
    identity: 'body',
  });
  assert.equal(answer.endpoint, standby.url);
});

test('a slow answer is hedged after 50 ms and the slower copy is ended', async (t) => {
  const { requests, primary, standby } = await setUp(t, [after(400), ok]);
  const from = performance.now();
  const answer = await requests.request(put());
  const elapsedMs = performance.now() - from;
  assert.equal(answer.endpoint, standby.url);
  assert.ok(elapsedMs >= 49 && elapsedMs < 200, `${elapsedMs} ms`);
  assert.deepEqual(
    answer.attempts.map(({ kind, outcome }) => [kind, outcome]),
    [
      ['first', 'overtaken'],
      ['hedge', 'settled'],
    ],
  );
  const [first, hedge] = [primary, standby].map(({ received }) => received[0]?.headers['idempotency-key']);
  assert.equal(first, hedge);
});

test('the first answer wins, also when it is the one that was hedged', async (t) => {
  const { requests, primary } = await setUp(t, [after(90), after(400)]);
  const answer = await requests.request(put());
  assert.equal(answer.endpoint, primary.url);
  assert.equal(answer.attempts[1]?.outcome, 'overtaken');
});

test("a copy's failure never beats another copy's answer", async (t) => {
  const { requests, primary } = await setUp(t, [after(150), answering(500)]);
  assert.equal((await requests.request(put())).endpoint, primary.url);
});

test('an endpoint that is usually slow is not hedged before its 95th percentile', async (t) => {
  const { requests, standby } = await setUp(t, [after(120), after(60)], { retryReserve: 4 });
  // Reserve and earnings pay for a few hedges only; what is not hedged teaches the percentile.
  for (let n = 0; n < 8; n += 1) await requests.request(put());
  const hedgesBefore = standby.received.length;
  for (let n = 0; n < 5; n += 1) await requests.request(put());
  assert.ok(standby.received.length - hedgesBefore <= 1, `${standby.received.length - hedgesBefore} hedges`);
});

test('a hedge of nothing: a region that is evacuated or down is no place for a guess', async (t) => {
  const { requests, standby } = await setUp(t, [after(150), ok]);
  standby.health = answering(503, { 'eden-evacuated': 'true' });
  await requests.close();
  const again = new Requests({ endpoints: [(await localRegionOf(t, after(150))).url, standby.url] });
  t.after(() => again.close());
  await until(() => again.status[1]?.evacuated === true);
  await again.request(put());
  assert.equal(standby.received.length, 0);
});

test('an evacuated primary is used last, but still used when the standby fails', async (t) => {
  const primary = await localRegionOf(t, ok);
  primary.health = answering(503, { 'eden-evacuated': 'true' });
  const standby = await localRegionOf(t, ok);
  const requests = new Requests({ endpoints: [primary.url, standby.url] });
  t.after(() => requests.close());
  await until(() => requests.status[0]?.evacuated === true);
  assert.equal(requests.status[0]?.healthy, true);
  assert.equal((await requests.request(put())).endpoint, standby.url);
  standby.behaviour = answering(500);
  assert.equal((await requests.request(put())).endpoint, primary.url);
});

test('a region that is no longer evacuated is preferred again after the next probe', async (t) => {
  const primary = await localRegionOf(t, ok);
  primary.health = answering(503, { 'eden-evacuated': 'true' });
  const requests = new Requests({
    endpoints: [primary.url, (await localRegionOf(t, ok)).url],
    probeIntervalMs: 30,
  });
  t.after(() => requests.close());
  await until(() => requests.status[0]?.evacuated === true);
  primary.health = ok;
  await until(() => requests.status[0]?.evacuated === false);
  assert.equal((await requests.request(put())).endpoint, primary.url);
});

test('idle endpoints are probed: unhealthy after three failures, healthy after two successes', async (t) => {
  const { requests, primary } = await setUp(t, [ok, ok], { probeIntervalMs: 25, probeTimeoutMs: 20 });
  primary.health = silent;
  await until(() => requests.status[0]?.healthy === false);
  primary.health = ok;
  await until(() => requests.status[0]?.healthy === true);
});

test('503 with Retry-After: the other region at once, the same one not before its time', async (t) => {
  const busy = answering(503, { 'retry-after': '1' });
  const { requests, primary, standby } = await setUp(t, [busy, busy], { random: () => 0 });
  const from = performance.now();
  setTimeout(() => {
    primary.behaviour = ok;
  }, 300);
  const answer = await requests.request(put());
  const elapsedMs = performance.now() - from;
  assert.ok(elapsedMs >= 950 && elapsedMs < 1_600, `${elapsedMs} ms`);
  assert.equal(answer.endpoint, primary.url);
  assert.equal(standby.received.length, 1);
  assert.equal(requests.status[0]?.healthy, true);
});

test('a Retry-After beyond the deadline ends the request now, not then', async (t) => {
  const closed = answering(503, { 'retry-after': '60' });
  const { requests } = await setUp(t, [closed, closed], { deadlineMs: 2_000 });
  const from = performance.now();
  const error = await rejection(requests.request(put()));
  assert.ok(error instanceof RequestFailedError && error.retryable);
  assert.equal(error.endpoints.length, 2);
  assert.ok(performance.now() - from < 500);
});

test('when all fail it pauses with jitter, asks again, and gives the answer once there is one', async (t) => {
  const { requests, standby } = await setUp(t, [answering(500), answering(500)]);
  setTimeout(() => {
    standby.behaviour = ok;
  }, 400);
  const answer = await requests.request(put());
  assert.equal(answer.endpoint, standby.url);
  assert.ok(answer.attempts.length < 40, `${answer.attempts.length} attempts in 400 ms`);
  assert.ok(answer.attempts.some(({ kind }) => kind === 'retry'));
});

test('the deadline holds over all attempts and says what was tried', async (t) => {
  const { requests, primary, standby } = await setUp(t, [silent, silent], { deadlineMs: 200 });
  const from = performance.now();
  const error = await rejection(requests.request(put()));
  const elapsedMs = performance.now() - from;
  assert.ok(error instanceof DeadlineError && error.retryable);
  assert.ok(elapsedMs >= 199 && elapsedMs < 350, `${elapsedMs} ms`);
  assert.deepEqual(error.endpoints, [primary.url, standby.url]);
  assert.match(error.message, /no answer within 200 ms \(2 attempts at http/);
});

test('one attempt that takes too long counts as failed, and the other region is asked', async (t) => {
  const { requests, standby, events } = await setUp(t, [silent, ok], {
    attemptTimeoutMs: 100,
    silenceDetection: false,
  });
  const answer = await requests.request(put());
  assert.equal(answer.endpoint, standby.url);
  assert.equal(answer.attempts[1]?.kind, 'fallback');
  assert.ok(events.some((event) => event.type === 'outcome' && event.outcome === 'failed'));
});

test('a signal ends a request at once, before and while it runs', async (t) => {
  const { requests, primary } = await setUp(t, [silent, silent]);
  const early = await rejection(
    requests.request({ ...put(), signal: AbortSignal.abort(new Error('changed my mind')) }),
  );
  assert.ok(early instanceof RequestAbortedError);
  assert.equal((early.cause as Error).message, 'changed my mind');
  assert.equal(early.attempts.length, 0);
  assert.equal(primary.received.length, 0);
  const stop = new AbortController();
  const running = rejection(requests.request({ ...put(), signal: stop.signal }));
  setTimeout(() => stop.abort(), 30);
  const late = await running;
  assert.ok(late instanceof RequestAbortedError);
  assert.equal(late.attempts[0]?.outcome, 'abandoned');
  await until(() => [...primary.sockets].every((socket) => socket.destroyed || !socket.writableLength));
});

test('an aborted write without identity says whether it was sent', async (t) => {
  const { requests } = await setUp(t, [silent, silent]);
  const unsent = await rejection(requests.request({ ...unkeyed, signal: AbortSignal.abort() }));
  assert.equal((unsent as RequestAbortedError).retryable, true);
  const sent = await rejection(requests.request({ ...unkeyed, signal: AbortSignal.timeout(30) }));
  assert.equal((sent as RequestAbortedError).retryable, false);
});

test('with fallback off only the first endpoint is ever asked', async (t) => {
  const { requests, standby } = await setUp(t, [answering(500), ok], { fallback: false, deadlineMs: 300 });
  assert.ok((await rejection(requests.request(put()))) instanceof RequestFailedError);
  assert.equal(standby.received.length, 0);
});

test('with silence detection off a missing answer is waited for', async (t) => {
  const { requests, primary, standby } = await setUp(t, [after(200), ok], { silenceDetection: false });
  const answers = await Promise.all([1, 2, 3, 4, 5].map(() => requests.request(put())));
  for (const answer of answers) assert.equal(answer.endpoint, primary.url);
  assert.equal(standby.received.length, 0);
});

test('three silent requests are all redirected at once', async (t) => {
  const { requests, primary, standby, events } = await setUp(t, [ok, ok], { retryReserve: 10 });
  for (let n = 0; n < 20; n += 1) await requests.request(put());
  primary.behaviour = silent;
  const from = performance.now();
  const answers = await Promise.all([1, 2, 3, 4].map(() => requests.request(put())));
  assert.ok(performance.now() - from < 200);
  for (const answer of answers) assert.equal(answer.endpoint, standby.url);
  assert.equal(requests.status[0]?.healthy, false);
  assert.ok(events.some((event) => event.type === 'silence' || event.type === 'health'));
});

test('a flaky primary: everything succeeds at no more than 1.1 attempts an operation', async (t) => {
  let n = 0;
  const flaky: Behaviour = (...args) => {
    n += 1;
    (n % 5 === 0 ? answering(500) : ok)(...args);
  };
  const { requests } = await setUp(t, [flaky, ok], { retryReserve: 20 });
  for (let round = 0; round < 150; round += 1)
    await Promise.all(Array.from({ length: 10 }, () => requests.request(put())));
  const { attempts, operations, failures } = requests.counts;
  assert.equal(failures, 0);
  assert.ok(attempts / operations <= 1.1, `${attempts / operations} attempts an operation`);
});

test('with an empty budget nothing is hedged, and errors wait for a token', async (t) => {
  const { requests, standby, events } = await setUp(t, [after(300), ok], { retryReserve: 0, retryRatio: 0 });
  await requests.request(put());
  assert.equal(standby.received.length, 0);
  assert.ok(events.some((event) => event.type === 'budget_empty' && event.wanted === 'hedge'));
});

test('an outage of both regions costs no more than the budget, and everything waiting succeeds after it', async (t) => {
  const { requests, primary, standby } = await setUp(t, [answering(500), answering(500)], {
    backoffMaxMs: 200,
  });
  const running = Array.from({ length: 150 }, () => requests.request(put()));
  await new Promise((resolve) => setTimeout(resolve, 500));
  // The reserve, what the operations earned, and what trickled in.
  assert.ok(requests.counts.attempts <= 150 + 100 + 150 * 0.09 + 2, `${requests.counts.attempts} attempts`);
  primary.behaviour = ok;
  standby.behaviour = ok;
  for (const answer of await Promise.all(running)) assert.equal(answer.status, 200);
});
