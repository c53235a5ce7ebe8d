// Between records and DynamoDB items, by hand: a general marshaller costs time on every write and size in every bundle.
import type { AttributeValue, UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import {
  ATTRIBUTES,
  feedOrderOf,
  feedShardOf,
  recordPk,
  STATE,
  settledAttribute,
} from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { asVersion } from '../../protocol/versions.ts';
import type { Content, Settled, StoredRecord } from '../core/record.ts';
import type { RecordWrite } from './store.ts';

export type Item = Record<string, AttributeValue>;

const SETTLED_PREFIX = settledAttribute('');

const NAMES = {
  '#v': ATTRIBUTES.version,
  '#c': ATTRIBUTES.commitVersion,
  '#d': ATTRIBUTES.deleted,
  '#p': ATTRIBUTES.payload,
  '#h': ATTRIBUTES.sha256,
  '#fs': ATTRIBUTES.feedShard,
  '#fo': ATTRIBUTES.feedOrder,
};

export function itemKey(key: RecordKey): Item {
  return { [ATTRIBUTES.pk]: { S: recordPk(key) }, [ATTRIBUTES.sk]: { S: STATE } };
}

/** The one `UpdateItem` of PROTOCOL 3.1. */
export function updateOf(write: RecordWrite): Omit<UpdateItemCommandInput, 'TableName'> {
  const { key, version, content, base, commitVersion, settles, forget } = write;
  const names: Record<string, string> = { ...NAMES };
  const values: Item = {
    ':v': { S: version },
    ':c': { S: commitVersion },
    ':d': { BOOL: content.deleted },
    ':fs': { S: feedShardOf(key) },
    ':fo': { S: feedOrderOf(commitVersion, key) },
  };
  const sets = ['#v = :v', '#c = :c', '#d = :d', '#fs = :fs', '#fo = :fo'];
  const removes: string[] = [];
  const conditions: string[] = [];

  if (content.deleted) removes.push('#p', '#h');
  else {
    sets.push('#p = :p', '#h = :h');
    values[':p'] = { S: content.payload };
    values[':h'] = { S: content.sha256 };
  }

  if (base === undefined) {
    names['#pk'] = ATTRIBUTES.pk;
    conditions.push('attribute_not_exists(#pk)');
  } else {
    values[':base'] = { S: base };
    conditions.push('#v = :base', '#v < :v', '#c < :c');
  }

  if (settles) {
    names['#w'] = settledAttribute(settles.session);
    values[':w'] = { M: { s: { N: String(settles.sequence) }, t: { N: String(settles.atMs) } } };
    sets.push('#w = :w');
    if (base !== undefined) {
      names['#s'] = 's';
      values[':s'] = { N: String(settles.sequence) };
      conditions.push('(attribute_not_exists(#w) OR #w.#s < :s)');
    }
  }

  if (forget && forget.sessions.length > 0) {
    values[':seen'] = { S: forget.commitVersion };
    conditions.push('#c = :seen');
    for (const [index, session] of forget.sessions.entries()) {
      names[`#f${index}`] = settledAttribute(session);
      removes.push(`#f${index}`);
    }
  }

  return {
    Key: itemKey(key),
    UpdateExpression: `SET ${sets.join(', ')}${removes.length > 0 ? ` REMOVE ${removes.join(', ')}` : ''}`,
    ConditionExpression: conditions.join(' AND '),
    ExpressionAttributeNames: names,
    ExpressionAttributeValues: values,
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  };
}

export function recordOf(item: Item): StoredRecord {
  const settled = new Map<string, Settled>();
  for (const [name, value] of Object.entries(item)) {
    if (!name.startsWith(SETTLED_PREFIX)) continue;
    settled.set(name.slice(SETTLED_PREFIX.length), {
      sequence: Number(value.M?.['s']?.N),
      atMs: Number(value.M?.['t']?.N),
    });
  }
  return {
    version: asVersion(textOf(item, ATTRIBUTES.version)),
    commitVersion: asVersion(textOf(item, ATTRIBUTES.commitVersion)),
    content: contentOf(item),
    settled,
  };
}

function contentOf(item: Item): Content {
  return item[ATTRIBUTES.deleted]?.BOOL
    ? { deleted: true }
    : { deleted: false, payload: textOf(item, ATTRIBUTES.payload), sha256: textOf(item, ATTRIBUTES.sha256) };
}

/** Throws when the item is not one this code wrote. */
export function textOf(item: Item, attribute: string): string {
  const text = item[attribute]?.S;
  if (text === undefined)
    throw new TypeError(`item ${item[ATTRIBUTES.pk]?.S}: expected a string in ${attribute}`);
  return text;
}

export function numberOf(item: Item, attribute: string): number {
  const number = Number(item[attribute]?.N);
  if (!Number.isFinite(number))
    throw new TypeError(`item ${item[ATTRIBUTES.pk]?.S}: expected a number in ${attribute}`);
  return number;
}
