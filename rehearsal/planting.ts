// Records that are put into a table before a drill begins, so many that writing each through an API would take the day:
// what each is called and contains follows from its number, so whoever reads them back knows what to expect.
import { hash } from 'node:crypto';
import { ATTRIBUTES, feedOrderOf, feedShardOf, recordPk, STATE } from '../protocol/items.ts';
import { COLLECTION_PATTERN, type RecordKey, TENANT_PATTERN } from '../protocol/names.ts';
import { type Clock, versionOf } from '../protocol/versions.ts';
import type { Item } from './aws/dynamodb/dynalite.ts';

export interface Planting {
  readonly tenant: string;
  readonly collection: string;
  /** Whole, up to a million. */
  readonly records: number;
  /** Of each payload's text, from 40 to 4,096; a few bytes more or less. */
  readonly payloadBytes: number;
}

const RECORDS_MAX = 1_000_000;
const PAYLOAD_BYTES = { min: 40, max: 4_096 };
/** A client's queue file and a function's environment, as versions name who made them. */
const AUTHOR = '00000000f1a47ed0';
const COMMITTER = '00000000f1a47ed1';
const WORDS = 'the orchard keeps what each season brings and gives it back ';

/** @throws RangeError says what was expected and what came */
export function checkPlanting({ tenant, collection, records, payloadBytes }: Planting): void {
  if (!TENANT_PATTERN.test(tenant)) throw new RangeError(`a tenant is like "acme", got "${tenant}"`);
  if (!COLLECTION_PATTERN.test(collection))
    throw new RangeError(`a collection is like "notes", got "${collection}"`);
  if (!(Number.isInteger(records) && records >= 1 && records <= RECORDS_MAX))
    throw new RangeError(`records: expected a whole number from 1 to ${RECORDS_MAX}, got ${records}`);
  const { min, max } = PAYLOAD_BYTES;
  if (!(payloadBytes >= min && payloadBytes <= max))
    throw new RangeError(`payloadBytes: expected ${min} to ${max}, got ${payloadBytes}`);
}

/** Of the n-th record, from 0. */
export function plantedKey({ tenant, collection }: Planting, n: number): RecordKey {
  return { tenant, collection, id: `planted-${String(n).padStart(7, '0')}` };
}

/** Of the n-th record, as the canonical JSON text that the service keeps (RFC 8785). */
export function plantedPayload({ payloadBytes }: Planting, n: number): string {
  const start = n % WORDS.length;
  const room = payloadBytes - `{"n":${n},"text":""}`.length;
  const text = WORDS.repeat(Math.ceil((start + room) / WORDS.length)).slice(start, start + room);
  return `{"n":${n},"text":"${text}"}`;
}

/** The n-th record as the service would have stored it when its clock read that. */
export function plantedItem(planting: Planting, n: number, clock: Clock): Item {
  const key = plantedKey(planting, n);
  const payload = plantedPayload(planting, n);
  const commitVersion = versionOf(clock, COMMITTER);
  return {
    [ATTRIBUTES.pk]: { S: recordPk(key) },
    [ATTRIBUTES.sk]: { S: STATE },
    [ATTRIBUTES.version]: { S: versionOf(clock, AUTHOR) },
    [ATTRIBUTES.deleted]: { BOOL: false },
    [ATTRIBUTES.payload]: { S: payload },
    [ATTRIBUTES.sha256]: { S: hash('sha256', payload, 'hex') },
    [ATTRIBUTES.commitVersion]: { S: commitVersion },
    [ATTRIBUTES.feedShard]: { S: feedShardOf(key) },
    [ATTRIBUTES.feedOrder]: { S: feedOrderOf(commitVersion, key) },
  };
}
