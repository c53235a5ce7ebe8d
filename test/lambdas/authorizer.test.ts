// Tokens and what they allow: every way in which one can be wrong is refused, and a right one gets exactly its scopes.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { policyOf } from '../../lambdas/core/policies.ts';
import { importKeySet, KeySetError } from '../../lambdas/core/tokens.ts';
import { createAuthorizer } from '../../lambdas/routes/authorizer.ts';
import { PATHS } from '../../protocol/messages.ts';
import { Recorder } from './functions.ts';

const ISSUER = 'https://identity.test/';
const AUDIENCE = 'eden-field-test';
const METHOD_ARN = 'arn:aws:execute-api:us-east-2:000000000000:abc123/live/GET/v1/records/notes/n1';
const API = 'arn:aws:execute-api:us-east-2:000000000000:abc123/live';
const NOW_S = 1_800_000_000;

interface Pair {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}
const pairs = new Map<string, Pair>();
const pair = (name: string): Pair => pairs.get(name) ?? assert.fail(name);
let authorize: ReturnType<typeof createAuthorizer>;
let telemetry: Recorder;

before(async () => {
  for (const [name, alg] of [
    ['es', 'ES256'],
    ['ed', 'EdDSA'],
    ['rs', 'RS256'],
    ['ps', 'PS256'],
    ['stranger', 'ES256'],
  ] as const) {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: name, alg, use: 'sig' };
    pairs.set(name, { alg, kid: name, privateKey, publicKey, jwk });
  }
  const keySet = { keys: ['es', 'ed', 'rs', 'ps'].map((name) => pair(name).jwk) };
  telemetry = new Recorder();
  authorize = createAuthorizer({
    settings: { issuer: ISSUER, audience: AUDIENCE, keySet },
    keys: importKeySet(keySet),
    telemetry,
    now: () => NOW_S * 1_000,
  });
});

const CLAIMS = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'user-1',
  tenant: 'acme',
  scope: 'records:read sync',
  exp: NOW_S + 600,
};

function sign(over: object = {}, by = 'es', header: object = {}): Promise<string> {
  const { alg, kid, privateKey } = pair(by);
  const claims = Object.fromEntries(
    Object.entries({ ...CLAIMS, ...over }).filter(([, value]) => value !== undefined),
  );
  return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
}

const ask = (authorization: string | undefined, name = 'Authorization') =>
  authorize({
    methodArn: METHOD_ARN,
    headers: authorization === undefined ? {} : { [name]: authorization },
  });
const refused = (authorization: string | undefined) =>
  assert.rejects(ask(authorization), { message: 'Unauthorized' });
const effectOf = async (token: string) =>
  (await ask(`Bearer ${token}`)).policyDocument.Statement.map(({ Effect }) => Effect);

test('a good token gets its scopes on this stage, whatever method was asked for, and its tenant', async () => {
  const { principalId, policyDocument, context } = await ask(`Bearer ${await sign()}`);
  assert.equal(principalId, 'user-1');
  assert.deepEqual(context, { tenant: 'acme', subject: 'user-1', scopes: 'records:read sync' });
  assert.deepEqual(policyDocument, {
    Version: '2012-10-17',
    Statement: [
      {
        Action: 'execute-api:Invoke',
        Effect: 'Allow',
        Resource: [`${API}/GET/v1/records/*`, `${API}/*/v1/sync/*`],
      },
    ],
  });
});

for (const by of ['es', 'ed', 'rs', 'ps'])
  test(`a token signed with the pinned ${by} key is good`, async () => {
    assert.deepEqual(await effectOf(await sign({}, by)), ['Allow']);
  });

test('the header’s name and the scheme may be in any case', async () => {
  const token = await sign();
  for (const [name, scheme] of [
    ['authorization', 'bearer'],
    ['AUTHORIZATION', 'BEARER'],
  ] as const)
    assert.equal((await ask(`${scheme} ${token}`, name)).principalId, 'user-1');
});

test('no token, another scheme, or something that is no token is refused', async () => {
  const token = await sign();
  for (const header of [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    token,
    `Basic ${token}`,
    `Bearer ${token} x`,
    'Bearer a.b',
    'Bearer a.b.c',
  ])
    await refused(header);
});

test('a token signed by anybody else is refused, whoever it says it is', async () => {
  await refused(`Bearer ${await sign({}, 'stranger')}`);
  await refused(`Bearer ${await sign({}, 'stranger', { kid: 'es' })}`);
});

test('a changed token is refused', async () => {
  const [header, , signature] = (await sign()).split('.');
  const claims = Buffer.from(JSON.stringify({ ...CLAIMS, tenant: 'other' })).toString('base64url');
  await refused(`Bearer ${header}.${claims}.${signature}`);
  const [first, second] = (await sign()).split('.');
  await refused(`Bearer ${first}.${second}.`);
});

test('alg none is refused', async () => {
  const unsigned = new UnsecuredJWT(CLAIMS).encode();
  await refused(`Bearer ${unsigned}`);
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'es' })).toString('base64url');
  await refused(`Bearer ${none}.${unsigned.split('.')[1]}.`);
});

test('a token signed with a public key as a shared secret is refused', async () => {
  const secrets = [JSON.stringify(pair('rs').jwk), await exportSPKI(pair('rs').publicKey)];
  for (const secret of secrets)
    await refused(
      `Bearer ${await new SignJWT(CLAIMS).setProtectedHeader({ alg: 'HS256', kid: 'rs' }).sign(Buffer.from(secret))}`,
    );
});

test('a key takes its own algorithm only, even where the mathematics would allow another', async () => {
  const { jwk } = pair('rs');
  const keys = await importKeySet({ keys: [{ ...jwk, alg: 'PS256' }] });
  const strict = createAuthorizer({
    settings: { issuer: ISSUER, audience: AUDIENCE, keySet: {} },
    keys: Promise.resolve(keys),
    telemetry: new Recorder(),
    now: () => NOW_S * 1_000,
  });
  const headers = { authorization: `Bearer ${await sign({}, 'rs')}` };
  await assert.rejects(strict({ methodArn: METHOD_ARN, headers }), { message: 'Unauthorized' });
});

test('a key of the token’s own bringing is not used', async () => {
  const token = await sign({}, 'stranger', { kid: undefined, jwk: pair('stranger').jwk });
  await refused(`Bearer ${token}`);
  await refused(`Bearer ${await sign({}, 'es', { kid: undefined })}`);
  await refused(`Bearer ${await sign({}, 'es', { kid: '__proto__' })}`);
});

for (const [what, over] of [
  ['another issuer', { iss: 'https://evil.test/' }],
  ['no issuer', { iss: undefined }],
  ['another audience', { aud: 'somebody-else' }],
  ['no audience', { aud: undefined }],
  ['an expiry 6 s ago', { exp: NOW_S - 6 }],
  ['no expiry', { exp: undefined }],
  ['an expiry as text', { exp: 'tomorrow' }],
  ['a beginning in 6 s', { nbf: NOW_S + 6 }],
  ['no subject', { sub: undefined }],
] as const)
  test(`a token with ${what} is refused`, async () => {
    await refused(`Bearer ${await sign(over)}`);
  });

for (const [what, over] of [
  ['an expiry 4 s ago', { exp: NOW_S - 4 }],
  ['a beginning in 4 s', { nbf: NOW_S + 4 }],
  ['one of several audiences', { aud: ['somebody-else', AUDIENCE] }],
] as const)
  test(`a token with ${what} is good: clocks differ by up to 5 s`, async () => {
    assert.deepEqual(await effectOf(await sign(over)), ['Allow']);
  });

for (const [what, over] of [
  ['no tenant', { tenant: undefined }],
  ['a tenant with #', { tenant: 'a#b' }],
  ['a tenant in upper case', { tenant: 'ACME' }],
  ['a list of tenants', { tenant: ['acme'] }],
  ['no scope', { scope: undefined }],
  ['unknown scopes', { scope: 'records records:* admin' }],
  ['a list of scopes', { scope: ['sync'] }],
  ['an empty scope', { scope: '' }],
] as const)
  test(`a valid token with ${what} is denied everything`, async () => {
    const { policyDocument } = await ask(`Bearer ${await sign(over)}`);
    assert.deepEqual(policyDocument.Statement, [
      { Action: 'execute-api:Invoke', Effect: 'Deny', Resource: [`${API}/*`] },
    ]);
  });

test('what each scope allows', () => {
  const resources = (scopes: readonly string[]) =>
    policyOf({ subject: 's', tenant: 't', scopes }, METHOD_ARN).Statement.flatMap(({ Resource }) =>
      Resource.map((arn) => arn.replace(`${API}/`, '')),
    );
  assert.deepEqual(resources(['records:read']), ['GET/v1/records/*']);
  assert.ok(`GET${PATHS.conflicts}`.startsWith('GET/v1/records/'), 'reading covers conflicts');
  assert.deepEqual(resources(['records:write']), ['PUT/v1/records/*', 'DELETE/v1/records/*']);
  assert.deepEqual(resources(['sync']), ['*/v1/sync/*']);
});

test('a refusal is logged without the token, an admission is measured', async () => {
  const token = await sign({ exp: NOW_S - 100 });
  await refused(`Bearer ${token}`);
  const said = telemetry.warnings.join();
  assert.match(said, /a token was refused .*exp/);
  assert.ok(!said.includes(token.split('.')[1] as string));
});

test('a key set that cannot be used says which key and why', async () => {
  const good = pair('es').jwk;
  for (const [keySet, message] of [
    [undefined, /at least one key/],
    [{ keys: [] }, /at least one key/],
    [{ keys: 'x' }, /at least one key/],
    [{ keys: [null] }, /key 0: expected an object/],
    [{ keys: [{ ...good, kid: undefined }] }, /key 0: expected a kid/],
    [{ keys: [good, good] }, /key 1: the kid es is repeated/],
    [{ keys: [{ ...good, alg: undefined }] }, /key es: expected an alg of/],
    [{ keys: [{ ...good, alg: 'HS256' }] }, /key es: expected an alg of/],
    [{ keys: [{ kty: 'oct', k: 'AAAA', kid: 'x', alg: 'ES256' }] }, /key x: expected a public key/],
    [{ keys: [{ ...good, d: 'AAAA' }] }, /key es: expected a public key/],
    [{ keys: [{ ...good, x: 'AAAA' }] }, /key es: not a usable ES256 key/],
    [{ keys: [{ ...good, alg: 'RS256' }] }, /key es: not a usable RS256 key/],
  ] as const)
    await assert.rejects(importKeySet(keySet), (error: unknown) => {
      assert.ok(error instanceof KeySetError);
      assert.match(error.message, message);
      return true;
    });
});

test('an unusable key set is our failure, not the caller’s, and counts as an error', async () => {
  const headers = { authorization: `Bearer ${await sign()}` };
  const said = new Recorder();
  const broken = createAuthorizer({
    settings: { issuer: ISSUER, audience: AUDIENCE, keySet: {} },
    keys: Promise.reject(new KeySetError('broken')),
    telemetry: said,
    now: () => NOW_S * 1_000,
  });
  await assert.rejects(broken({ methodArn: METHOD_ARN, headers }), /broken/);
  assert.deepEqual([said.sum('requests'), said.sum('errors')], [1, 1]);
});
