// Tokens (JWT, RFC 7519) against a pinned key set. Every key names its one algorithm, and a token is checked with the
// algorithm of its key, never with one of the token's own choice.
import { type CryptoKey, importJWK, type JWK, type JWTPayload, jwtVerify } from 'jose';
import { SCOPES } from '../../protocol/messages.ts';
import { TENANT_PATTERN } from '../../protocol/names.ts';

/** Signatures with a key pair; no shared secrets, no `none`. */
const ALGORITHMS = ['ES256', 'EdDSA', 'RS256', 'PS256'];
/** Clocks of the issuer and of ours may differ by this. */
const CLOCK_TOLERANCE_S = 5;

interface PinnedKey {
  readonly alg: string;
  readonly key: CryptoKey | Uint8Array;
}

/** By key id. */
export type KeySet = ReadonlyMap<string, PinnedKey>;

export class KeySetError extends Error {
  override readonly name = 'KeySetError';
}

/**
 * Imports a JWK Set (RFC 7517). @throws {KeySetError} no keys, or one that is secret, has no id, repeats an id, or
 * names no algorithm of ours
 */
export async function importKeySet(keySet: unknown): Promise<KeySet> {
  const jwks = isRecord(keySet) && Array.isArray(keySet['keys']) ? keySet['keys'] : undefined;
  if (!jwks?.length) throw new KeySetError('expected a JWK Set with at least one key');
  const keys = new Map<string, PinnedKey>();
  for (const [index, jwk] of jwks.entries()) {
    if (!isRecord(jwk)) throw new KeySetError(`key ${index}: expected an object`);
    const { kid, alg } = jwk;
    if (typeof kid !== 'string' || kid === '') throw new KeySetError(`key ${index}: expected a kid`);
    if (keys.has(kid)) throw new KeySetError(`key ${index}: the kid ${kid} is repeated`);
    if (typeof alg !== 'string' || !ALGORITHMS.includes(alg))
      throw new KeySetError(`key ${kid}: expected an alg of ${ALGORITHMS.join(', ')}, got ${String(alg)}`);
    if ('d' in jwk || 'k' in jwk)
      throw new KeySetError(`key ${kid}: expected a public key, got a secret one`);
    try {
      keys.set(kid, { alg, key: await importJWK(jwk as JWK, alg) });
    } catch (cause) {
      throw new KeySetError(`key ${kid}: not a usable ${alg} key`, { cause });
    }
  }
  return keys;
}

export interface Caller {
  readonly subject: string;
  /** Undefined when the token names none, or none of a tenant's form. */
  readonly tenant: string | undefined;
  /** Ours only. */
  readonly scopes: readonly string[];
}

/** Rejects unless signature, issuer, audience, `exp` and `nbf` are right. `nowMs` is Unix time. */
export async function verifyToken(
  token: string,
  keys: KeySet,
  { issuer, audience, nowMs }: { readonly issuer: string; readonly audience: string; readonly nowMs: number },
): Promise<Caller> {
  const { payload } = await jwtVerify(
    token,
    ({ kid, alg }) => {
      const pinned = kid === undefined ? undefined : keys.get(kid);
      if (!pinned || pinned.alg !== alg) throw new Error(`no pinned ${alg} key ${kid}`);
      return pinned.key;
    },
    {
      algorithms: ALGORITHMS,
      issuer,
      audience,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(nowMs),
    },
  );
  return callerOf(payload);
}

function callerOf({ sub = '', tenant, scope }: JWTPayload): Caller {
  const known: readonly string[] = Object.values(SCOPES);
  return {
    subject: sub,
    tenant: typeof tenant === 'string' && TENANT_PATTERN.test(tenant) ? tenant : undefined,
    scopes: (typeof scope === 'string' ? scope.split(' ') : []).filter((word) => known.includes(word)),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
