// Every function as it is deployed: bundled by esbuild with the stacks' own options, small, and started with nothing
// but the environment that its stack sets.
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { readAuditBuckets, readPlace, readScrubItems, readTokenSettings } from '../../lambdas/env.ts';
import { DESCRIPTION_TEXT } from './description.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** Bytes; a bundle that outgrows its number has taken something in that it should not have. */
const BYTES_MAX = {
  // With the S3 client, which is run by the first conflict only (lambdas/service.ts).
  records: 665_000,
  push: 655_000,
  pull: 470_000,
  authorizer: 90_000,
  health: 420_000,
  ready: 450_000,
  describe: 110_000,
  observer: 590_000,
  archiver: 585_000,
  sweeper: 580_000,
  backup: 600_000,
  verification: 600_000,
  scrubber: 400_000,
  // With the SQS client.
  restore: 630_000,
  pretraffic: 480_000,
} as const;
type Name = keyof typeof BYTES_MAX;
const NAMES = Object.keys(BYTES_MAX) as Name[];

const KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: '3UGfHheSDFCI9hSkuDH30yjXTIoY-0Y8z6daihZVDgs',
  y: '0uz4-HfOlh6oDU_VZ1nhoR0jnabPAQuTiVYOBHUv254',
  kid: 'k',
  alg: 'ES256',
};
const ENVIRONMENT = {
  EDEN_STAGE: 'dev',
  EDEN_ROLE: 'primary',
  EDEN_REGIONS: '{"primary":"us-east-2","standby":"us-west-2","quorum":"us-east-1"}',
  AWS_REGION: 'us-east-2',
  AWS_ACCESS_KEY_ID: 'a',
  AWS_SECRET_ACCESS_KEY: 'b',
  // Nobody is there: a function must start all the same.
  AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
  TABLE_NAME: 'eden-field-dev-records',
  TABLE_ARN: 'arn:aws:dynamodb:us-east-2:000000000000:table/eden-field-dev-records',
  KEY_ARN: 'arn:aws:kms:us-east-2:000000000000:key/k',
  SCRATCH_PREFIX: 'eden-field-dev-scratch-',
  BACKUP_LOCKS: '{"mode":"GOVERNANCE","days":{"daily":30}}',
  BACKUP_BUCKETS: '{"us-east-2":"backup-a","us-west-2":"backup-b","us-east-1":"backup-c"}',
  QUEUE_URL: 'https://sqs.us-east-2.amazonaws.com/000000000000/eden-field-dev-restore-tasks',
  AUDIT_BUCKETS: '{"us-east-2":"audit-a","us-west-2":"audit-b","us-east-1":"audit-c"}',
  JWT_ISSUER: 'https://identity.test/',
  JWT_AUDIENCE: 'test',
  JWT_KEY_SET: JSON.stringify({ keys: [KEY] }),
  SCRUB_ITEMS: '100000',
  NEW_VERSION_ARN: 'arn:aws:lambda:us-east-2:000000000000:function:f:1',
} as const;

let folder: string;
const bundleOf = (name: Name) => join(folder, name, 'index.mjs');
type Handler = (
  event: object,
) => Promise<{ statusCode: number; headers: Record<string, string>; body: string }>;
const handlerOf = async (name: Name): Promise<Handler> =>
  (await import(pathToFileURL(bundleOf(name)).href)).handler;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bundles-'));
  Object.assign(process.env, ENVIRONMENT);
  await Promise.all(
    NAMES.map((name) =>
      build({
        entryPoints: [join(ROOT, 'lambdas', `${name}.ts`)],
        outfile: bundleOf(name),
        bundle: true,
        platform: 'node',
        target: 'node24',
        format: 'esm',
        mainFields: ['module', 'main'],
        minify: true,
        loader: { '.yaml': 'text' },
        logLevel: 'error',
      }),
    ),
  );
});
after(() => rm(folder, { recursive: true }));

for (const name of NAMES)
  test(`${name} starts with its environment alone, and is no larger than it has to be`, async () => {
    assert.equal(typeof (await handlerOf(name)), 'function');
    const { size } = await stat(bundleOf(name));
    assert.ok(size <= BYTES_MAX[name], `${size} bytes, expected at most ${BYTES_MAX[name]}`);
  });

const get = (resource: string) => ({
  resource,
  path: resource,
  httpMethod: 'GET',
  headers: {},
  requestContext: { requestId: 'r-1' },
  body: null,
  isBase64Encoded: false,
});

test('every function behind the API answers /ready by its own check: what cannot be reached is named', async () => {
  for (const [name, dependencies] of [
    ['records', ['key', 'read', 'write']],
    ['push', ['key', 'read', 'write']],
    ['pull', ['key', 'read']],
    ['ready', ['key', 'read', 'write']],
    ['health', ['routing']],
  ] as const) {
    const { statusCode, body } = await (await handlerOf(name))(get('/ready'));
    assert.equal(statusCode, 503, name);
    assert.deepEqual(Object.keys(JSON.parse(body).dependencies).sort(), [...dependencies].sort(), name);
  }
  for (const name of ['records', 'push', 'pull'] as const) {
    const { statusCode } = await (await handlerOf(name))(get(`/ready/${name}`));
    assert.equal(statusCode, 503, `${name} as observers ask it`);
  }
  const { statusCode, body } = await (await handlerOf('authorizer'))(get('/ready'));
  assert.deepEqual([statusCode, JSON.parse(body).dependencies], [200, { keys: 'ok' }]);
});

test('health answers 200 without anything behind it', async () => {
  const { statusCode, headers } = await (await handlerOf('health'))(get('/health'));
  assert.deepEqual([statusCode, headers['eden-region']], [200, 'us-east-2']);
});

test('describe serves the description as it is in the repository', async () => {
  const { statusCode, headers, body } = await (await handlerOf('describe'))(get('/openapi.yaml'));
  assert.deepEqual([statusCode, headers['content-type'], body], [200, 'application/yaml', DESCRIPTION_TEXT]);
});

test('an answer is never cached, never sniffed, and names its region and request', async () => {
  const { headers } = await (await handlerOf('describe'))(get('/openapi.yaml'));
  assert.deepEqual(headers, {
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'",
    'strict-transport-security': 'max-age=63072000',
    'x-content-type-options': 'nosniff',
    'eden-region': 'us-east-2',
    'eden-request-id': 'r-1',
    'content-type': 'application/yaml',
  });
});

test('a missing or malformed variable is named, with what was expected and what came', () => {
  const { EDEN_ROLE: _, ...withoutRole } = ENVIRONMENT;
  assert.throws(() => readPlace(withoutRole), /EDEN_ROLE: expected a value, got undefined/);
  assert.throws(
    () => readPlace({ ...ENVIRONMENT, EDEN_ROLE: 'boss' }),
    /EDEN_ROLE: expected one of primary, standby, quorum, got "boss"/,
  );
  assert.throws(
    () => readPlace({ ...ENVIRONMENT, EDEN_REGIONS: '{}' }),
    /EDEN_REGIONS: expected \{"primary"/,
  );
  assert.throws(() => readPlace({ ...ENVIRONMENT, EDEN_REGIONS: 'x' }), /EDEN_REGIONS: expected JSON/);
  assert.throws(() => readTokenSettings({ ...ENVIRONMENT, JWT_KEY_SET: '{' }), /JWT_KEY_SET: expected JSON/);
  assert.throws(
    () => readAuditBuckets({ AUDIT_BUCKETS: '{"us-east-2":""}' }),
    /AUDIT_BUCKETS: expected \{"<region>":"<bucket>",…\}, got/,
  );
  assert.throws(() => readAuditBuckets({ AUDIT_BUCKETS: 'x' }), /AUDIT_BUCKETS: expected JSON/);
  assert.throws(
    () => readScrubItems({ SCRUB_ITEMS: 'all' }),
    /SCRUB_ITEMS: expected a whole number from 1, got "all"/,
  );
  assert.equal(readPlace(ENVIRONMENT).regions.standby, 'us-west-2');
});
