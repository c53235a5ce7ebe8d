// Answers over HTTP, read strictly: every shape that is not this service's counts as no answer.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { before, test } from 'node:test';
import { TokenError } from '../../../client/errors.ts';
import { Requests } from '../../../client/requests.ts';
import { parsePage, parseVerdicts } from '../../../client/sync/answers.ts';
import { UnexpectedAnswerError } from '../../../client/sync/errors.ts';
import { HttpWire } from '../../../client/sync/http-wire.ts';
import { type ProblemCode, problem } from '../../../protocol/errors.ts';
import type { Json } from '../../../protocol/operations.ts';
import { answering, type Behaviour, type LocalRegion, localRegion } from '../regions.ts';
import { rejection } from '../set-up.ts';

const VERSION = '0197a0000000-0000-0123456789abcdef';
const SESSION = 'a'.repeat(32);
const named = { session: SESSION, sequence: 1 };
const bytes = (value: Json) => Buffer.from(JSON.stringify(value));

const GOOD_VERDICTS: readonly Json[] = [
  { ...named, verdict: 'applied', version: VERSION },
  { ...named, verdict: 'duplicate', version: VERSION },
  { ...named, verdict: 'superseded', version: VERSION },
  { ...named, verdict: 'deferred', reason: 'no_quorum' },
  { ...named, verdict: 'rejected', reason: 'too_old', detail: 'why' },
  { ...named, verdict: 'clock_ahead', serverTimeMs: 1_750_000_000_000 },
  { ...named, verdict: 'clock_ahead', serverTimeMs: 1, version: VERSION },
];

const BAD_VERDICTS: readonly Json[] = [
  null,
  'applied',
  [],
  {},
  { ...named, verdict: 'applied' },
  { ...named, verdict: 'applied', version: 'v1' },
  { ...named, verdict: 'accepted', version: VERSION },
  { ...named, verdict: 'applied', version: `ffffffffffff-0000-${'a'.repeat(16)}` },
  { ...named, session: 'short', verdict: 'applied', version: VERSION },
  { ...named, sequence: 0, verdict: 'applied', version: VERSION },
  { ...named, sequence: 1.5, verdict: 'applied', version: VERSION },
  { ...named, sequence: '1', verdict: 'applied', version: VERSION },
  { ...named, verdict: 'deferred', reason: 'later' },
  { ...named, verdict: 'deferred' },
  { ...named, verdict: 'rejected', reason: 'invalid' },
  { ...named, verdict: 'rejected', reason: 'no', detail: 'why' },
  { ...named, verdict: 'clock_ahead' },
  { ...named, verdict: 'clock_ahead', serverTimeMs: -1 },
  { ...named, verdict: 'clock_ahead', serverTimeMs: 1e300 },
  { ...named, verdict: 'clock_ahead', serverTimeMs: '1' },
  { ...named, verdict: 'clock_ahead', serverTimeMs: 1, version: null },
];

test('verdicts: every one the service gives is taken as it is', () => {
  assert.deepEqual(parseVerdicts(bytes({ verdicts: GOOD_VERDICTS })), GOOD_VERDICTS);
});

test('verdicts: one that is malformed spoils the whole answer', () => {
  for (const bad of BAD_VERDICTS)
    assert.throws(
      () => parseVerdicts(bytes({ verdicts: [GOOD_VERDICTS[0] as Json, bad] })),
      UnexpectedAnswerError,
      JSON.stringify(bad),
    );
});

const CHANGE = { collection: 'notes', id: 'n1', version: VERSION, deleted: false, payload: null };
const PAGE = { changes: [CHANGE], cursor: 'c', more: false, resync: true };

const BAD_PAGES: readonly Json[] = [
  { ...PAGE, changes: {} },
  { ...PAGE, cursor: '' },
  { ...PAGE, cursor: null },
  { ...PAGE, more: 'no' },
  { ...PAGE, resync: 0 },
  { ...PAGE, changes: [null] },
  { ...PAGE, changes: [{ ...CHANGE, collection: 'no/slash' }] },
  { ...PAGE, changes: [{ ...CHANGE, id: '' }] },
  { ...PAGE, changes: [{ ...CHANGE, version: 'v' }] },
  { ...PAGE, changes: [{ ...CHANGE, deleted: true }] },
  { ...PAGE, changes: [{ collection: 'notes', id: 'n1', version: VERSION, deleted: false }] },
  { ...PAGE, changes: [{ ...CHANGE, deleted: 'false' }] },
];

test('pages: a good one is taken as it is, a malformed one not at all', () => {
  assert.deepEqual(parsePage(bytes(PAGE)), PAGE);
  for (const bad of BAD_PAGES)
    assert.throws(() => parsePage(bytes(bad)), UnexpectedAnswerError, JSON.stringify(bad));
});

test('bodies that are cut short, not UTF-8, or no object are no answers', () => {
  for (const body of [
    bytes(PAGE).subarray(0, 20),
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]),
    Buffer.from('[]'),
    Buffer.from(''),
    Buffer.from('<html>'),
  ])
    assert.throws(() => parsePage(body), UnexpectedAnswerError);
});

let region: LocalRegion;
let requests: Requests;
before(async () => {
  region = await localRegion();
  requests = new Requests({ endpoints: [region.url], token: async () => 'token', deadlineMs: 2_000 });
});

test.after(async () => {
  await requests.close();
  await region.kill();
});

function wire(_: TestContext, behaviour: Behaviour) {
  region.behaviour = behaviour;
  const degraded: string[] = [];
  return { wire: new HttpWire(requests, (detail) => degraded.push(detail)), degraded };
}

const CALL = { operations: [], restoreEpoch: 7, signal: new AbortController().signal };
const PULL = { cursor: 'c/1+2', limit: 5, restoreEpoch: 7, signal: new AbortController().signal };
const saying = (code: ProblemCode, headers = {}) =>
  answering(
    problem(code, '').status,
    { 'content-type': 'application/problem+json', ...headers },
    JSON.stringify(problem(code, 'the test says so')),
  );

test('a push carries its operations and epoch, and takes verdicts with the epoch they were admitted under', async (t) => {
  const bodies: string[] = [];
  const { wire: over, degraded } = wire(t, (request, response, body) => {
    bodies.push(body);
    answering(
      200,
      { 'eden-restore-epoch': '8', 'eden-degraded': 'replica; region=us-west-2' },
      '{"verdicts":[]}',
    )(request, response, body);
  });
  assert.deepEqual(await over.push(CALL), { kind: 'verdicts', verdicts: [], restoreEpoch: 8 });
  const { method, path, headers } = region.received.at(-1) ?? assert.fail();
  assert.deepEqual([method, path], ['POST', '/v1/sync/push']);
  assert.equal(headers['eden-restore-epoch'], '7');
  assert.equal(headers.authorization, 'Bearer token');
  assert.deepEqual(bodies, ['{"operations":[]}']);
  assert.match(degraded[0] ?? '', /replica; region=us-west-2/);
});

test('a pull carries cursor and limit, and none for a resync', async (t) => {
  const { wire: over } = wire(t, answering(200, { 'eden-restore-epoch': '7' }, JSON.stringify(PAGE)));
  assert.deepEqual(await over.pull(PULL), { kind: 'page', page: PAGE, restoreEpoch: 7 });
  assert.equal(region.received.at(-1)?.path, '/v1/sync/pull?limit=5&cursor=c%2F1%2B2');
  await over.pull({ ...PULL, cursor: null });
  assert.equal(region.received.at(-1)?.path, '/v1/sync/pull?limit=5');
});

test('problems of this service: restored, expired, refused with their own word', async (t) => {
  const restored = wire(t, saying('restore_epoch', { 'eden-restore-epoch': '9' })).wire;
  assert.deepEqual(await restored.push(CALL), { kind: 'restored', restoreEpoch: 9 });
  assert.deepEqual(await restored.pull(PULL), { kind: 'restored', restoreEpoch: 9 });
  assert.deepEqual(await wire(t, saying('cursor_expired')).wire.pull(PULL), { kind: 'expired' });
  const detail = 'the test says so';
  for (const [code, status] of [
    ['invalid_request', 400],
    ['forbidden', 403],
    ['too_large', 413],
    ['unsupported_media_type', 415],
  ] as const)
    assert.deepEqual(await wire(t, saying(code)).wire.push(CALL), { kind: 'refused', status, code, detail });
});

test('a proxy that takes no such body says so in its own words: too large', async (t) => {
  const answer = await wire(t, answering(413, {}, '<html>')).wire.push(CALL);
  assert.deepEqual(
    { ...answer, detail: '' },
    { kind: 'refused', status: 413, code: 'too_large', detail: '' },
  );
});

test('a token that is refused, and a fresh one too, is a TokenError', async (t) => {
  assert.ok((await rejection(wire(t, answering(401)).wire.push(CALL))) instanceof TokenError);
});

const NOT_OURS: Readonly<Record<string, Behaviour>> = {
  'a portal with a page': answering(200, { 'content-type': 'text/html' }, '<html>'),
  'a portal that leads elsewhere': answering(302, { location: 'http://portal.example' }),
  'another service with problems of its own': answering(
    400,
    { 'content-type': 'application/problem+json' },
    '{"code":"teapot"}',
  ),
  'a firewall': answering(403, { 'content-type': 'application/json' }, '{"message":"Forbidden"}'),
  'verdicts without an epoch': answering(200, {}, '{"verdicts":[]}'),
  'verdicts of an epoch that is none': answering(200, { 'eden-restore-epoch': '-1' }, '{"verdicts":[]}'),
  'a restore without an epoch': saying('restore_epoch'),
};

for (const [what, behaviour] of Object.entries(NOT_OURS))
  test(`what is not this service's answer counts as none: ${what}`, async (t) => {
    const { wire: over } = wire(t, behaviour);
    assert.ok((await rejection(over.push(CALL))) instanceof UnexpectedAnswerError);
    assert.ok((await rejection(over.pull(PULL))) instanceof UnexpectedAnswerError);
  });
