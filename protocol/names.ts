// What records, sessions and tenants may be called: characters that need no escaping in a URL, a key or a log line.

export const TENANT_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;
export const COLLECTION_PATTERN = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/;
export const RECORD_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,254}$/;
/** 128 random bits (PROTOCOL 1.2). */
export const SESSION_PATTERN = /^[0-9a-f]{32}$/;
/** `Idempotency-Key` of a record write: `<session>:<sequence>`. */
export const IDEMPOTENCY_KEY_PATTERN = /^([0-9a-f]{32}):([1-9][0-9]{0,15})$/;

export interface RecordKey {
  readonly tenant: string;
  readonly collection: string;
  readonly id: string;
}
