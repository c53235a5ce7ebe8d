import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { ALL_SCOPES, type SigningKey, signingKey, signToken } from '../../rehearsal/supervisor/keys.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';

const directory = await mkdtemp(join(tmpdir(), 'eden-keys-'));
after(() => rm(directory, { recursive: true }));
const file = join(directory, 'nested', 'keys.json');
const who = { issuer: 'https://identity.example/', audience: 'eden-field' };

const verified = (key: SigningKey, token: string) =>
  jwtVerify(token, createLocalJWKSet(JSON.parse(key.keySet)), {
    ...who,
    algorithms: ['ES256'],
  });

test('the key is made once, readable by its owner alone, and the public set holds no secret', async () => {
  const first = await signingKey(file);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await signingKey(file), first);
  const [key] = JSON.parse(first.keySet).keys;
  assert.equal('d' in key, false);
  assert.equal(key.kid, first.privateJwk.kid);
  assert.deepEqual(await readdir(join(directory, 'nested')), ['keys.json']);
});

test('processes that make it at once end up with the same key', async () => {
  const shared = join(directory, 'shared.json');
  const module = JSON.stringify(join(import.meta.dirname, '../../rehearsal/supervisor/keys.ts'));
  const code = `import { signingKey } from ${module};
    console.log((await signingKey(${JSON.stringify(shared)})).keySet);`;
  const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
  const [a, b] = await Promise.all([run(), run()]);
  assert.equal(a.stdout, b.stdout);
});

test('a damaged key file is reported with what to do', async () => {
  const damaged = join(directory, 'damaged.json');
  for (const content of ['', '{}', '{"kty":"EC"}']) {
    await writeFile(damaged, content);
    await assert.rejects(signingKey(damaged), /damaged\.json holds no usable signing key: delete it/);
  }
});

test('a token carries tenant, scopes and life time, and verifies against the public set', async () => {
  const key = await signingKey(file);
  const nowMs = Date.now();
  const token = await signToken(key, { ...who, tenant: 'acme', scopes: ['sync'], ttlS: 60, nowMs });
  const { payload } = await verified(key, token);
  assert.equal(payload['tenant'], 'acme');
  assert.equal(payload['scope'], 'sync');
  assert.equal(payload.exp, Math.floor(nowMs / 1_000) + 60);
  const all = await verified(key, await signToken(key, { ...who, tenant: 'demo' }));
  assert.equal(all.payload['scope'], ALL_SCOPES.join(' '));
});

test('an expired token and one of another key do not verify', async () => {
  const key = await signingKey(file);
  const old = await signToken(key, { ...who, tenant: 'demo', nowMs: Date.now() - 7_200_000 });
  await assert.rejects(verified(key, old), { code: 'ERR_JWT_EXPIRED' });
  const other = await signingKey(join(directory, 'other.json'));
  const foreign = await signToken(other, { ...who, tenant: 'demo' });
  await assert.rejects(verified(key, foreign), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('bad tenants, scopes and life times are refused with what came', async () => {
  const key = await signingKey(file);
  const sign = (options: { tenant?: string; scopes?: string[]; ttlS?: number }) =>
    signToken(key, { ...who, tenant: 'demo', ...options });
  for (const tenant of ['', 'Acme', '-a', 'a#b', 'a'.repeat(64)])
    await assert.rejects(sign({ tenant }), RangeError, tenant);
  await assert.rejects(sign({ scopes: ['records:admin'] }), /got "records:admin"/);
  await assert.rejects(sign({ scopes: [] }), RangeError);
  for (const ttlS of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 31_536_001])
    await assert.rejects(sign({ ttlS }), RangeError, String(ttlS));
});

const token = (...args: string[]) =>
  promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../rehearsal/token.ts'), ...args]);

test('npm run token prints a token alone, with the issuer and audience of its stage', async () => {
  const { stdout } = await token('--tenant', 'acme', '--scope', 'records:read,sync', '--ttl', '90');
  assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const { auth } = stageConfig('dev');
  const claims = decodeJwt(stdout.trim());
  assert.equal(claims.iss, auth.issuer);
  assert.equal(claims.aud, auth.audience);
  assert.equal(claims['tenant'], 'acme');
  assert.equal(claims['scope'], 'records:read sync');
  assert.equal((claims.exp ?? 0) - (claims.iat ?? 0), 90);
  const prod = decodeJwt((await token('--stage', 'prod')).stdout.trim());
  assert.equal(prod.iss, stageConfig('prod').auth.issuer);
});

test('npm run token refuses bad values with exit status 1 and nothing on standard output', async () => {
  for (const [args, message] of [
    [['--ttl', 'soon'], /got NaN/],
    [['--ttl', '1e3'], /whole number of seconds/],
    [['--tenant', 'No Body'], /got "No Body"/],
    [['--scope', 'everything'], /got "everything"/],
    [['--stage', 'moon'], /one of dev, prod, gov, got "moon"/],
    [['--stage', 'gov'], /plays three strongly consistent replicas, got stage "gov"/],
    [['--colour', 'red'], /--colour/],
  ] as const)
    await assert.rejects(token(...args), (error: { code: number; stdout: string; stderr: string }) => {
      assert.equal(error.code, 1);
      assert.equal(error.stdout, '');
      assert.match(error.stderr, message);
      return true;
    });
});

test('the key file itself is what .gitignore keeps out', async () => {
  const ignored = await readFile(join(import.meta.dirname, '../../.gitignore'), 'utf8');
  assert.match(ignored, /^\.cache\/$/m);
});
