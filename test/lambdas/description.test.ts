// docs/openapi.yaml and the functions say the same: every path in it is routed and the other way round, every problem
// of the protocol is described, and every described one is produced here or by the gateway in front. That real answers
// are as described is checked on each one of them, in all tests of handlers (functions.ts).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthRoutes } from '../../lambdas/routes/health.ts';
import { pullRoutes } from '../../lambdas/routes/pull.ts';
import { pushRoutes } from '../../lambdas/routes/push.ts';
import { recordsRoutes } from '../../lambdas/routes/records.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { PROBLEMS } from '../../protocol/errors.ts';
import * as limits from '../../protocol/limits.ts';
import { HEADERS, PATHS, SCOPES } from '../../protocol/messages.ts';
import * as names from '../../protocol/names.ts';
import {
  child,
  DESCRIPTION,
  DESCRIPTION_TEXT,
  describedOperations,
  isDescribed,
  type Node,
} from './description.ts';
import { Device, EPOCH, Functions, openFunctions, type Reply, withoutReplicas } from './functions.ts';

const functions = await openFunctions();
const { running } = functions;

/** Schema of every described problem, by its code. */
const problems = new Map<string, Node>();
for (const schema of Object.values(child(DESCRIPTION, 'components', 'schemas')) as Node[]) {
  const code = ((schema['properties'] as Node | undefined)?.['code'] as Node | undefined)?.['const'];
  if (typeof code === 'string') problems.set(code, schema);
}

test('every described operation is routed, and every route is described', () => {
  const { service } = functions;
  const routed = [
    ...Object.keys(pushRoutes(service)),
    ...Object.keys(pullRoutes(service)),
    ...Object.keys(recordsRoutes(service)),
    ...Object.keys(healthRoutes(service)),
    `GET ${PATHS.ready}`,
    `GET ${PATHS.readyRecords}`,
    `GET ${PATHS.readyPush}`,
    `GET ${PATHS.readyPull}`,
    `GET ${PATHS.description}`,
  ];
  assert.deepEqual([...new Set(routed)].sort(), describedOperations().sort());
  assert.deepEqual(Object.keys(child(DESCRIPTION, 'paths')).sort(), Object.values(PATHS).sort());
});

test('what is no route is 404', async () => {
  const { httpHandler } = await import('../../lambdas/http.ts');
  const handler = httpHandler(pushRoutes(functions.service), functions.service);
  for (const [httpMethod, resource] of [
    ['GET', PATHS.push],
    ['POST', '/elsewhere'],
    ['GET', 'constructor'],
  ] as const) {
    const { statusCode, body } = await handler({ httpMethod, resource, headers: null });
    assert.deepEqual([statusCode, JSON.parse(body).code], [404, 'not_found']);
  }
});

test('every problem of the protocol is described with its status, and no other is', () => {
  assert.deepEqual([...problems.keys()].sort(), Object.keys(PROBLEMS).sort());
  for (const [code, { status }] of Object.entries(PROBLEMS))
    assert.equal(child(problems.get(code) as Node, 'properties', 'status')['const'], status, code);
});

test('every response of an operation is a described problem or an answer, under its own status', () => {
  for (const operation of describedOperations()) {
    const [method, path] = operation.split(' ') as [string, string];
    const responses = child(DESCRIPTION, 'paths', path, method.toLowerCase(), 'responses');
    for (const status of Object.keys(responses)) {
      const content = child(responses, status)['content'] as Node | undefined;
      const schema = (content?.['application/problem+json'] as Node | undefined)?.['schema'] as
        | Node
        | undefined;
      if (!schema) continue;
      for (const { $ref } of (schema['oneOf'] ?? [schema]) as { $ref: string }[])
        assert.equal(
          child(
            DESCRIPTION,
            'components',
            'schemas',
            $ref.split('/').at(-1) as string,
            'properties',
            'status',
          )['const'],
          Number(status),
          `${operation} ${status} ${$ref}`,
        );
    }
  }
});

test('every described problem is produced by a function, or is marked as the gateway’s', async () => {
  const produced = new Map<string, Reply>();
  const keep = (reply: Reply) => produced.set(reply.body.code, reply);
  const device = new Device();
  const rival = new Device();
  const older = new Device().version();
  const put = (
    id: string,
    headers: Record<string, string> = {},
    body: object | string = {},
    on = functions,
  ) => on.record('PUT', 'acme', id, { body, headers });
  const keyed = (by: Device, version = by.version()) => ({
    'idempotency-key': `${by.session}:${++by.sequence}`,
    'eden-version': version,
  });
  await put('there');
  await put('rival', keyed(rival));

  keep(await put('a', {}, '{'));
  keep(await functions.call('GET', PATHS.record, { params: { collection: 'notes', id: 'a' } }));
  keep(await functions.record('GET', 'acme', 'nowhere'));
  keep(await put('a', keyed(device, device.version(Date.now() + 200_000))));
  keep(await functions.pull('acme', {}, { 'eden-restore-epoch': '0' }));
  keep(await put('there', { 'if-none-match': '*' }));
  keep(await put('a', {}, JSON.stringify('x'.repeat(300_000))));
  keep(await put('a', { 'content-type': 'text/plain' }));
  keep(await put('a', keyed(device, new Device().version(1))));
  keep(await put('there'));
  keep(await put('rival', keyed(new Device(), older)));
  await functions.damage('acme', 'notes', 'there');
  keep(await functions.record('GET', 'acme', 'there'));

  const { body } = await functions.pull('puller');
  const old = JSON.parse(Buffer.from(body.cursor, 'base64url').toString());
  old[3] = 1;
  keep(await functions.pull('puller', { cursor: Buffer.from(JSON.stringify(old)).toString('base64url') }));
  const elsewhere = new Functions({ running, role: 'standby' });
  keep(await elsewhere.pull('acme'));
  elsewhere.close();
  const alone = new Functions({ running, wrap: withoutReplicas });
  keep(await put('rival', keyed(new Device()), {}, alone));
  alone.close();
  const cut = new Functions({
    running,
    wrap: (store) => ({
      ...store,
      read: () =>
        Promise.reject(new StoreUnavailableError('cut off', { retryable: true, mayHaveLanded: false })),
    }),
  });
  keep(await cut.record('GET', 'acme', 'a'));
  cut.close();
  await functions.open({ status: 'restoring' });
  keep(await functions.pull('acme', {}, { 'eden-restore-epoch': String(EPOCH + 1) }));

  for (const [code, schema] of problems) {
    const byGateway = schema['x-produced-by'] === 'gateway';
    assert.equal(produced.has(code), !byGateway, code);
  }
});

test('every header of the protocol is described, and every described header of ours is in the protocol', () => {
  const described = new Set(
    DESCRIPTION_TEXT.toLowerCase().match(/\b(eden-[a-z-]+|idempotency-key)\b(?=:|$|\n)/gm),
  );
  for (const header of Object.values(HEADERS))
    assert.ok(DESCRIPTION_TEXT.toLowerCase().includes(header), `${header} is not described`);
  const ours: readonly string[] = Object.values(HEADERS);
  for (const header of described) assert.ok(ours.includes(header) || header === 'eden-field', header);
});

test('patterns and limits are those of the protocol', () => {
  const schema = (name: string) => child(DESCRIPTION, 'components', 'schemas', name);
  assert.equal(schema('Collection')['pattern'], names.COLLECTION_PATTERN.source);
  assert.equal(schema('Id')['pattern'], names.RECORD_ID_PATTERN.source);
  assert.equal(schema('Session')['pattern'], names.SESSION_PATTERN.source);
  assert.equal(
    child(DESCRIPTION, 'components', 'parameters', 'IdempotencyKey', 'schema')['pattern'],
    names.IDEMPOTENCY_KEY_PATTERN.source.replaceAll(/[()]/g, ''),
  );
  assert.equal(child(schema('Batch'), 'properties', 'operations')['maxItems'], limits.BATCH_OPERATIONS_MAX);
  const limitOf = (path: string) => {
    const parameters = child(DESCRIPTION, 'paths', path, 'get')['parameters'] as Node[];
    return parameters.find(({ name }) => name === 'limit')?.['schema'] as Node;
  };
  assert.deepEqual(
    [limitOf(PATHS.pull)['default'], limitOf(PATHS.pull)['maximum']],
    [limits.PULL_LIMIT_DEFAULT, limits.PULL_LIMIT_MAX],
  );
  assert.deepEqual(
    [limitOf(PATHS.records)['default'], limitOf(PATHS.records)['maximum']],
    [limits.LIST_LIMIT_DEFAULT, limits.LIST_LIMIT_MAX],
  );
  assert.deepEqual(
    [limitOf(PATHS.conflicts)['default'], limitOf(PATHS.conflicts)['maximum']],
    [limits.CONFLICTS_LIMIT_DEFAULT, limits.CONFLICTS_LIMIT_MAX],
  );
  const text = JSON.stringify(DESCRIPTION);
  for (const scope of Object.values(SCOPES)) assert.ok(text.includes(`"${scope}"`), scope);
});

test('verdicts of every kind are as described, and others are not', () => {
  const { session, sequence, version } = new Device().put('a', 1);
  for (const verdict of [
    { verdict: 'applied', version },
    { verdict: 'superseded', version },
    { verdict: 'deferred', reason: 'predecessor' },
    { verdict: 'rejected', reason: 'not_allowed', detail: 'why' },
    { verdict: 'clock_ahead', serverTimeMs: 5 },
    { verdict: 'clock_ahead', serverTimeMs: 5, version },
  ])
    assert.ok(isDescribed('Verdict', { session, sequence, ...verdict }), verdict.verdict);
  for (const verdict of [
    { verdict: 'applied' },
    { verdict: 'deferred', reason: 'why' },
    { verdict: 'won', version },
  ])
    assert.ok(!isDescribed('Verdict', { session, sequence, ...verdict }));
});
