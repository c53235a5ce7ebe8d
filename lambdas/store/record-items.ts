// Between records and DynamoDB items, by hand: a general marshaller costs time on every write and size in every bundle.
import type { DeleteItemCommandInput } from '@aws-sdk/client-dynamodb';
import {
  ATTRIBUTES,
  feedOrderOf,
  feedShardOf,
  recordPk,
  STATE,
  settledAttribute,
  sweepOrderOf,
  sweepShardOf,
  throughAttribute,
} from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { asVersion, type Version } from '../../protocol/versions.ts';
import type { Reconciliation } from '../core/reconciling.ts';
import { type AuditState, type Content, NO_AUDIT, type Settled, type StoredRecord } from '../core/record.ts';
import type { DecisionWrite, RecordWrite, Tombstone } from './store.ts';
import { type Item, type Update, UpdateDraft } from './update-draft.ts';

const SETTLED_PREFIX = settledAttribute('');
const THROUGH_PREFIX = throughAttribute('');

export function itemKey(key: RecordKey): Item {
  return { [ATTRIBUTES.pk]: { S: recordPk(key) }, [ATTRIBUTES.sk]: { S: STATE } };
}

/** The one `UpdateItem` of PROTOCOL 3.1. `through`: the region whose replica it goes to, where others only follow. */
export function updateOf(write: RecordWrite, through?: string): Update {
  const { key, version, content, base, commitVersion, settles, forget, audit } = write;
  const draft = new UpdateDraft(itemKey(key));
  setState(draft, { version, content });
  setCommit(draft, key, commitVersion, content.deleted);
  setThrough(draft, through, commitVersion);
  if (audit) setAudit(draft, audit);
  if (settles) setSettled(draft, settles);

  if (base === undefined) draft.require(`attribute_not_exists(${draft.name(ATTRIBUTES.pk)})`);
  else {
    const stored = draft.name(ATTRIBUTES.version);
    draft
      .require(`${stored} = ${draft.value({ S: base })}`)
      .require(`${stored} < ${draft.value({ S: version })}`)
      .require(`${draft.name(ATTRIBUTES.commitVersion)} < ${draft.value({ S: commitVersion })}`);
    if (settles) {
      const settled = draft.name(settledAttribute(settles.session));
      const below = `${settled}.${draft.name('s')} < ${draft.value({ N: String(settles.sequence) })}`;
      draft.require(`(attribute_not_exists(${settled}) OR ${below})`);
    }
  }

  if (forget && forget.sessions.length > 0) {
    requireCommit(draft, forget.commitVersion);
    draft.remove(...forget.sessions.map(settledAttribute));
  }
  return draft.build();
}

/** PROTOCOL 4.2: nothing but the commit version is asked for, since it changes with everything that was voted on. */
export function decisionOf(decision: DecisionWrite, through?: string): Update {
  const { key, decidedOn, commitVersion, winner, deleted, settles, audit, forget } = decision;
  const draft = new UpdateDraft(itemKey(key));
  if (winner) setState(draft, winner);
  setCommit(draft, key, commitVersion, deleted);
  setThrough(draft, through, commitVersion);
  setAudit(draft, audit);
  setSettled(draft, settles);
  requireCommit(draft, decidedOn);
  draft.remove(...forget.map(settledAttribute));
  return draft.build();
}

/** The whole state in one write, over exactly the one it was made for. */
export function reconciliationOf(reconciliation: Reconciliation): Update {
  const { key, over, version, content, commitVersion, settled, through, takenUp, audit } = reconciliation;
  const draft = new UpdateDraft(itemKey(key));
  setState(draft, { version, content });
  setCommit(draft, key, commitVersion, content.deleted);
  for (const [region, commit] of through) setThrough(draft, region, commit);
  if (takenUp.length > 0) draft.set(ATTRIBUTES.takenUp, { L: takenUp.map((commit) => ({ S: commit })) });
  for (const [session, { sequence, atMs }] of settled) setSettled(draft, { session, sequence, atMs });
  if (audit) setAudit(draft, audit);
  if (over === undefined) draft.require(`attribute_not_exists(${draft.name(ATTRIBUTES.pk)})`);
  else requireCommit(draft, over);
  return draft.build();
}

/** PROTOCOL 4.3: no new commit version, so that what was voted on before can still be decided. */
export function trimOf(key: RecordKey, commitVersion: Version, outbox: readonly string[]): Update {
  const draft = new UpdateDraft(itemKey(key));
  setOutbox(draft, outbox);
  requireCommit(draft, commitVersion);
  return draft.build();
}

/** PROTOCOL 7: only a tombstone, only as it was found, and only once every entry of its trail is archived. */
export function sweepOf({ key, commitVersion }: Tombstone): Omit<DeleteItemCommandInput, 'TableName'> {
  return {
    Key: itemKey(key),
    ConditionExpression: '#c = :c AND #d = :true AND attribute_not_exists(#o)',
    ExpressionAttributeNames: {
      '#c': ATTRIBUTES.commitVersion,
      '#d': ATTRIBUTES.deleted,
      '#o': ATTRIBUTES.outbox,
    },
    ExpressionAttributeValues: { ':c': { S: commitVersion }, ':true': { BOOL: true } },
  };
}

/** The commit version in a tombstone's place. */
export function commitVersionIn(sweepOrder: string): Version {
  return asVersion(sweepOrder.split('#')[0] ?? '');
}

function setState(
  draft: UpdateDraft,
  { version, content }: { readonly version: Version; readonly content: Content },
): void {
  draft.set(ATTRIBUTES.version, { S: version }).set(ATTRIBUTES.deleted, { BOOL: content.deleted });
  if (content.deleted) draft.remove(ATTRIBUTES.payload, ATTRIBUTES.sha256);
  else draft.set(ATTRIBUTES.payload, { S: content.payload }).set(ATTRIBUTES.sha256, { S: content.sha256 });
}

/** Both indexes follow the commit version; only tombstones stand in the sweeper's. */
function setCommit(draft: UpdateDraft, key: RecordKey, commitVersion: Version, deleted: boolean): void {
  draft
    .set(ATTRIBUTES.commitVersion, { S: commitVersion })
    .set(ATTRIBUTES.feedShard, { S: feedShardOf(key) })
    .set(ATTRIBUTES.feedOrder, { S: feedOrderOf(commitVersion, key) });
  if (deleted)
    draft
      .set(ATTRIBUTES.sweepShard, { S: sweepShardOf(key) })
      .set(ATTRIBUTES.sweepOrder, { S: sweepOrderOf(commitVersion, key) });
  else draft.remove(ATTRIBUTES.sweepShard, ATTRIBUTES.sweepOrder);
}

function setAudit(draft: UpdateDraft, { sequence, head, outbox }: AuditState): void {
  draft.set(ATTRIBUTES.auditSequence, { N: String(sequence) }).set(ATTRIBUTES.auditHead, { S: head });
  setOutbox(draft, outbox);
}

function setOutbox(draft: UpdateDraft, outbox: readonly string[]): void {
  if (outbox.length === 0) draft.remove(ATTRIBUTES.outbox);
  else draft.set(ATTRIBUTES.outbox, { L: outbox.map((text) => ({ S: text })) });
}

function setSettled(
  draft: UpdateDraft,
  { session, sequence, atMs }: NonNullable<RecordWrite['settles']>,
): void {
  draft.set(settledAttribute(session), { M: { s: { N: String(sequence) }, t: { N: String(atMs) } } });
}

function setThrough(draft: UpdateDraft, region: string | undefined, commitVersion: Version): void {
  if (region !== undefined) draft.set(throughAttribute(region), { S: commitVersion });
}

function requireCommit(draft: UpdateDraft, commitVersion: Version): void {
  draft.require(`${draft.name(ATTRIBUTES.commitVersion)} = ${draft.value({ S: commitVersion })}`);
}

export function recordOf(item: Item): StoredRecord {
  const settled = new Map<string, Settled>();
  const through = new Map<string, Version>();
  for (const [name, value] of Object.entries(item)) {
    if (name.startsWith(THROUGH_PREFIX))
      through.set(name.slice(THROUGH_PREFIX.length), asVersion(textOf(item, name)));
    if (!name.startsWith(SETTLED_PREFIX)) continue;
    settled.set(name.slice(SETTLED_PREFIX.length), {
      sequence: Number(value.M?.['s']?.N),
      atMs: Number(value.M?.['t']?.N),
    });
  }
  const takenUp = item[ATTRIBUTES.takenUp]?.L;
  return {
    version: asVersion(textOf(item, ATTRIBUTES.version)),
    commitVersion: asVersion(textOf(item, ATTRIBUTES.commitVersion)),
    content: contentOf(item),
    settled,
    audit: auditOf(item),
    ...(through.size > 0 && { through }),
    ...(takenUp && { takenUp: takenUp.map(({ S }) => asVersion(String(S))) }),
  };
}

function contentOf(item: Item): Content {
  return item[ATTRIBUTES.deleted]?.BOOL
    ? { deleted: true }
    : { deleted: false, payload: textOf(item, ATTRIBUTES.payload), sha256: textOf(item, ATTRIBUTES.sha256) };
}

function auditOf(item: Item): AuditState {
  if (!item[ATTRIBUTES.auditSequence]) return NO_AUDIT;
  return {
    sequence: numberOf(item, ATTRIBUTES.auditSequence),
    head: textOf(item, ATTRIBUTES.auditHead),
    outbox: (item[ATTRIBUTES.outbox]?.L ?? []).map((text) => {
      if (text.S === undefined) throw unreadable(item, 'strings', ATTRIBUTES.outbox);
      return text.S;
    }),
  };
}

/** Throws when the item is not one this code wrote. */
export function textOf(item: Item, attribute: string): string {
  const text = item[attribute]?.S;
  if (text === undefined) throw unreadable(item, 'a string', attribute);
  return text;
}

export function numberOf(item: Item, attribute: string): number {
  const number = Number(item[attribute]?.N);
  if (!Number.isFinite(number)) throw unreadable(item, 'a number', attribute);
  return number;
}

function unreadable(item: Item, expected: string, attribute: string): TypeError {
  return new TypeError(`item ${item[ATTRIBUTES.pk]?.S}: expected ${expected} in ${attribute}`);
}
