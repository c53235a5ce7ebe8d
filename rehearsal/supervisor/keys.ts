// The rehearsal's own signing key, in the place of an identity provider's: made on first use, kept in `.cache/`, and
// told to the authorizer instead of the stage's pinned keys. The tokens it signs open nothing but a rehearsal.
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import { SCOPES } from '../../protocol/messages.ts';
import { TENANT_PATTERN } from '../../protocol/names.ts';

const ALGORITHM = 'ES256';
/** As long as the authorizer's largest clock tolerance could be: tokens are good from a little before now. */
const NOT_BEFORE_S = 60;
/** A year; longer is a mistake. */
const TTL_S_MAX = 31_536_000;

export const KEY_FILE = join(import.meta.dirname, '..', '..', '.cache', 'rehearsal-keys.json');
export const ALL_SCOPES: readonly string[] = Object.values(SCOPES);

export interface SigningKey {
  readonly privateJwk: JWK;
  /** JSON JWK Set with the public half alone, as the authorizer's environment takes it. */
  readonly keySet: string;
}

/** Reads the key, or makes it; of two that make one at once both get the same. Throws when the file is damaged. */
export async function signingKey(file: string = KEY_FILE): Promise<SigningKey> {
  const read = await readKey(file);
  if (read) return read;
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const jwk = await exportJWK(privateKey);
  const privateJwk = { ...jwk, alg: ALGORITHM, use: 'sig', kid: await calculateJwkThumbprint(jwk) };
  await mkdir(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(privateJwk)}\n`, { mode: 0o600 });
  try {
    // A link is there with its whole content or not at all, and never replaces what another process put there.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft);
  }
  return (await readKey(file)) ?? withPublic(privateJwk);
}

async function readKey(file: string): Promise<SigningKey | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const privateJwk = JSON.parse(text) as JWK;
    await importJWK(privateJwk, ALGORITHM);
    if (privateJwk.kid === undefined || privateJwk.d === undefined) throw new Error('kid or d is missing');
    return withPublic(privateJwk);
  } catch (cause) {
    throw new Error(`${file} holds no usable signing key: delete it and a new one is made`, { cause });
  }
}

function withPublic(privateJwk: JWK): SigningKey {
  const { d: _, ...publicJwk } = privateJwk;
  return { privateJwk, keySet: JSON.stringify({ keys: [publicJwk] }) };
}

export interface TokenOptions {
  readonly issuer: string;
  readonly audience: string;
  readonly tenant: string;
  /** @default all */
  readonly scopes?: readonly string[];
  /** Whole seconds, up to a year. @default 3600 */
  readonly ttlS?: number;
  /** Unix ms. @default Date.now() */
  readonly nowMs?: number;
}

/** A JWT as the authorizer wants it. Throws a `RangeError` that says what was expected and what came. */
export async function signToken({ privateJwk }: SigningKey, options: TokenOptions): Promise<string> {
  const { issuer, audience, tenant, scopes = ALL_SCOPES, ttlS = 3_600, nowMs = Date.now() } = options;
  if (!TENANT_PATTERN.test(tenant))
    throw new RangeError(`a tenant is up to 63 lower-case letters, digits and hyphens, got "${tenant}"`);
  const unknown = scopes.filter((scope) => !ALL_SCOPES.includes(scope));
  if (unknown.length > 0 || scopes.length === 0)
    throw new RangeError(`a scope is one or more of ${ALL_SCOPES.join(', ')}, got "${scopes.join(' ')}"`);
  if (!(Number.isInteger(ttlS) && ttlS >= 1 && ttlS <= TTL_S_MAX))
    throw new RangeError(`a token lives a whole number of seconds from 1 to ${TTL_S_MAX}, got ${ttlS}`);
  const now = Math.floor(nowMs / 1_000);
  return new SignJWT({ tenant, scope: scopes.join(' ') })
    .setProtectedHeader({ alg: ALGORITHM, kid: String(privateJwk.kid), typ: 'JWT' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('rehearsal')
    .setIssuedAt(now)
    .setNotBefore(now - NOT_BEFORE_S)
    .setExpirationTime(now + ttlS)
    .sign(await importJWK(privateJwk, ALGORITHM));
}
