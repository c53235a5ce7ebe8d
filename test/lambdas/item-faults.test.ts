// What the scrubber sees in a single item: nothing in whatever the real codecs write, and every change of what a hash
// or a second place covers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import fc from 'fast-check';
import { append } from '../../lambdas/core/audit.ts';
import { contentOf, sha256Of } from '../../lambdas/core/canonical.ts';
import { itemFault, itemName } from '../../lambdas/core/item-faults.ts';
import { type AuditState, type Content, NO_AUDIT } from '../../lambdas/core/record.ts';
import { decisionOf, itemKey, reconciliationOf, trimOf, updateOf } from '../../lambdas/store/record-items.ts';
import type { Update } from '../../lambdas/store/update-draft.ts';
import { type AuditEntry, auditText } from '../../protocol/audit.ts';
import type { ExportedItem, ExportedValue } from '../../protocol/export-files.ts';
import { fromItem } from '../../protocol/item-values.ts';
import { recordPk } from '../../protocol/items.ts';
import {
  COLLECTION_PATTERN,
  RECORD_ID_PATTERN,
  type RecordKey,
  TENANT_PATTERN,
} from '../../protocol/names.ts';
import type { Json } from '../../protocol/operations.ts';
import { updated } from '../simulation/expressions.ts';
import { trailOf, versionAt } from './audit-trail.ts';

type Item = Record<string, AttributeValue>;

const keys: fc.Arbitrary<RecordKey> = fc.record(
  {
    tenant: fc.stringMatching(TENANT_PATTERN),
    collection: fc.stringMatching(COLLECTION_PATTERN),
    id: fc.stringMatching(RECORD_ID_PATTERN),
  },
  { noNullPrototype: true },
);
const contents: fc.Arbitrary<Content> = fc.oneof(
  fc.constant({ deleted: true } as const),
  fc.jsonValue({ maxDepth: 2 }).map((value) => contentOf(value as Json)),
);
const sessions = fc.stringMatching(/^[0-9a-f]{32}$/);
const settles = fc.record({ session: sessions, sequence: fc.integer({ min: 1 }), atMs: fc.nat() });

/** One write after another on a record, each made by the codec that makes it in the service. */
type Step =
  | { readonly kind: 'write'; readonly content: Content; readonly settles: object }
  | { readonly kind: 'decide'; readonly content: Content; readonly settles: object }
  | { readonly kind: 'trim' }
  | { readonly kind: 'reconcile'; readonly content: Content; readonly takenUp: number };
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('write' as const), content: contents, settles }),
    fc.record({ kind: fc.constant('decide' as const), content: contents, settles }),
    fc.constant({ kind: 'trim' } as const),
    fc.record({ kind: fc.constant('reconcile' as const), content: contents, takenUp: fc.nat(8) }),
  ),
  { maxLength: 8 },
);

const START = 1_700_000_000_000;

function apply(item: Item | undefined, { Key, UpdateExpression, ...bindings }: Update): Item {
  return { ...updated(UpdateExpression ?? '', Key as Item, item, bindings) };
}

/** The trail with one more entry, in which `lost` lost. */
function withEntry(key: RecordKey, trail: AuditState, lost: Content): AuditState {
  const [first] = trailOf(key, 1);
  const entry: AuditEntry = {
    ...(first as NonNullable<typeof first>).entry,
    sequence: trail.sequence + 1,
    previous: trail.head,
  };
  const recorded = append(entry, lost, trail);
  return recorded.kind === 'recorded' ? recorded.audit : withEntry(key, { ...trail, outbox: [] }, lost);
}

function made(key: RecordKey, first: Content, rest: readonly Step[], through?: string): ExportedItem {
  let atMs = START;
  let version = versionAt(atMs);
  let audit: AuditState = NO_AUDIT;
  let commitVersion = versionAt(atMs + 1);
  const session = { session: 'a'.repeat(32), sequence: 1, atMs };
  let item = apply(
    undefined,
    updateOf({ key, version, content: first, base: undefined, commitVersion, settles: session }, through),
  );
  for (const step of rest) {
    const before = { version, commitVersion };
    atMs += 10;
    if (step.kind === 'trim') {
      audit = { ...audit, outbox: [] };
      if (audit.sequence > 0) item = apply(item, trimOf(key, commitVersion, []));
      continue;
    }
    const { content } = step;
    version = versionAt(atMs);
    commitVersion = versionAt(atMs + 1);
    if (step.kind === 'write') {
      const settles = step.settles as typeof session;
      item = apply(
        item,
        updateOf({ key, version, content, base: before.version, commitVersion, settles }, through),
      );
    } else if (step.kind === 'decide') {
      audit = withEntry(key, audit, content);
      const settles = step.settles as typeof session;
      const decision = { key, decidedOn: before.commitVersion, commitVersion, settles, audit, forget: [] };
      item = apply(
        item,
        decisionOf({ ...decision, winner: { version, content }, deleted: content.deleted }, through),
      );
    } else
      item = apply(
        item,
        reconciliationOf({
          ...{ key, over: before.commitVersion, version, content, commitVersion, audit: undefined },
          settled: new Map([['b'.repeat(32), { sequence: 2, atMs }]]),
          through: new Map([['us-gov-west-1', before.commitVersion]]),
          takenUp: Array.from({ length: step.takenUp }, (_, at) => versionAt(START + at)),
        }),
      );
  }
  return fromItem(item);
}

const items = fc
  .tuple(keys, contents, steps, fc.option(fc.constant('us-gov-east-1'), { nil: undefined }))
  .map(([key, first, rest, through]) => made(key, first, rest, through));

test('nothing is wrong with whatever the codecs write, after any row of writes', () => {
  fc.assert(
    fc.property(items, (item) => itemFault(item) === undefined),
    { numRuns: 500 },
  );
});

/** Fields of a record that a hash covers, or that stand in two places. */
const COVERED = [
  ...['payload', 'sha256', 'deleted', 'commitVersion', 'feedShard', 'feedOrder'],
  ...['auditSequence', 'auditHead', 'outbox'],
];

/** The value with one character, digit or flag of it changed. */
function changed(value: ExportedValue, at: number): ExportedValue {
  if ('BOOL' in value) return { BOOL: !value.BOOL };
  if ('N' in value) return { N: String(Number(value.N) + 1 + (at % 5)) };
  if ('L' in value) {
    const place = at % value.L.length;
    return { L: value.L.map((it, index) => (index === place ? changed(it, at >> 3) : it)) };
  }
  if (!('S' in value)) return { S: 'x' };
  const place = value.S.length === 0 ? 0 : at % value.S.length;
  const other = value.S[place] === '0' ? '1' : '0';
  return { S: value.S.slice(0, place) + other + value.S.slice(place + 1) };
}

test('a change of any one field that a hash or a second place covers is found', () => {
  const found = new Map<string, number>();
  fc.assert(
    fc.property(items, fc.nat(), fc.nat(), (item, which, at) => {
      const fields = COVERED.filter((name) => name in item);
      const name = fields[which % fields.length] as string;
      const value = item[name] as ExportedValue;
      // Of a trail whose outbox is empty nothing but the form can be judged alone.
      if (['auditSequence', 'auditHead'].includes(name) && !('outbox' in item)) return;
      assert.notEqual(itemFault({ ...item, [name]: changed(value, at) }), undefined, name);
      found.set(name, (found.get(name) ?? 0) + 1);
    }),
    { numRuns: 3_000 },
  );
  assert.deepEqual([...found.keys()].sort(), COVERED.toSorted(), 'each of them was tried');
});

test('a covered field that is gone, or of another type, is found', () => {
  fc.assert(
    fc.property(items, fc.nat(), fc.boolean(), (item, which, isGone) => {
      const fields = [...COVERED, 'version'].filter((name) => name in item);
      const name = fields[which % fields.length] as string;
      const { [name]: _, ...rest } = item;
      // A trimmed outbox is no damage.
      if (name === 'outbox' && isGone) return;
      assert.notEqual(itemFault(isGone ? rest : { ...rest, [name]: { BS: ['AA=='] } }), undefined, name);
    }),
    { numRuns: 1_000 },
  );
});

const KEY = { tenant: 'acme', collection: 'notes', id: 'n1' };
const OTHER = { tenant: 'acme', collection: 'notes', id: 'n2' };
const withTrail = (texts: readonly string[], head: string, sequence: number): ExportedItem => ({
  ...made(KEY, contentOf({ a: 1 }), []),
  auditSequence: { N: String(sequence) },
  auditHead: { S: head },
  outbox: { L: texts.map((S) => ({ S })) },
});

for (const [what, item, expected] of [
  [
    'an outbox that holds the last entries of a longer trail',
    () => {
      const trail = trailOf(KEY, 5);
      return withTrail(
        trail.slice(3).map(({ text }) => text),
        trail[4]?.hash ?? '',
        5,
      );
    },
    undefined,
  ],
  [
    'an entry taken out of the middle',
    () => {
      const trail = trailOf(KEY, 3);
      return withTrail(
        [0, 2].map((at) => trail[at]?.text ?? ''),
        trail[2]?.hash ?? '',
        3,
      );
    },
    /entry 2 in its outbox does not match the hash/,
  ],
  [
    'a whole trail of another record',
    () => {
      const trail = trailOf(OTHER, 1);
      return withTrail([trail[0]?.text ?? ''], trail[0]?.hash ?? '', 1);
    },
    /is no entry of this record/,
  ],
  [
    'a sequence that is not the entry’s',
    () => {
      const trail = trailOf(KEY, 2);
      return withTrail(
        trail.map(({ text }) => text),
        trail[1]?.hash ?? '',
        7,
      );
    },
    /says of itself that it is another one/,
  ],
  [
    'a first entry that goes on from one before it',
    () => {
      const [, second] = trailOf(KEY, 2);
      const text = auditText({ ...(second as NonNullable<typeof second>).entry, sequence: 1 });
      return withTrail([text], sha256Of(text), 1);
    },
    /entry 1 in its outbox names one before it/,
  ],
] as const)
  test(`an audit trail: ${what}`, () => {
    const fault = itemFault(item());
    if (expected === undefined) assert.equal(fault, undefined);
    else assert.match(fault ?? 'nothing', expected);
  });

test('the words never repeat what the item holds', () => {
  const secret = 'a secret of somebody';
  const item = made(KEY, contentOf({ secret }), []);
  const damaged = itemFault({ ...item, payload: { S: JSON.stringify({ secret, more: true }) } });
  assert.equal(damaged, 'the payload does not match its SHA-256');
  const routing = {
    pk: { S: 'CONTROL#routing' },
    sk: { S: 'STATE' },
    activeRegion: { N: '1' },
    reason: { S: secret },
  };
  assert.equal(itemFault(routing), 'it is no routing state');
});

const control = (pk: string, attributes: ExportedItem = {}): ExportedItem => ({
  pk: { S: pk },
  sk: { S: 'STATE' },
  ...attributes,
});
const n = (value: number | string) => ({ N: String(value) });
const REPORT = { observer: 'us-east-1', slotMs: 5, at: 6, watched: {} };

for (const [pk, good, bad] of [
  [
    'CONTROL#generation',
    { status: { S: 'open' }, restoreEpoch: n(5) },
    { status: { S: 'opened' }, restoreEpoch: n(5) },
  ],
  ['CONTROL#generation', { status: { S: 'restoring' }, restoreEpoch: n(0) }, { status: { S: 'open' } }],
  [
    'CONTROL#routing',
    { activeRegion: { S: 'us-east-2' }, epoch: n(7) },
    { activeRegion: { S: '' }, epoch: n(7) },
  ],
  [
    'CONTROL#observer#us-east-1',
    { slotMs: n(5), report: { S: JSON.stringify(REPORT) } },
    { slotMs: n(5), report: { S: '{' } },
  ],
  [
    'CONTROL#job#sweep',
    { epoch: n(1), region: { S: 'r' }, at: n(2) },
    { epoch: n(1), region: { S: 'r' }, at: n(-2) },
  ],
  ['CONTROL#status#us-east-2', { checkedAt: n(1), steadySince: n(1) }, { checkedAt: { S: 'x' } }],
  ['CONTROL#status#us-east-2', { checkedAt: n(1) }, { checkedAt: n(1), steadySince: n(0.5) }],
  [
    'CONTROL#heartbeat#us-east-2',
    { feedShard: { S: 'F#CONTROL#heartbeat' }, feedOrder: { S: '1700000000000#us-east-2' } },
    { feedShard: { S: 'F#CONTROL#heartbeat' }, feedOrder: { S: '1700000000000#us-west-2' } },
  ],
  ['CONTROL#probe#us-east-2', { probedAt: n(1) }, {}],
  ['CONTROL#verification#us-east-2#daily', { revision: n(1) }, { revision: n(1), state: { S: '{"a' } }],
  ['CONTROL#scrubber#us-east-2', { revision: n(1), state: { S: '{}' } }, { state: { S: '{}' } }],
  ['CONTROL#restore', { revision: n(3), state: { S: '{"files":[]}' } }, { revision: { S: '3' } }],
] as const)
  test(`${pk} is read as its readers read it`, () => {
    assert.equal(itemFault(control(pk, good)), undefined);
    assert.notEqual(itemFault(control(pk, bad)), undefined);
  });

test('what nobody of ours wrote is not judged', () => {
  assert.equal(itemFault(control('CONTROL#somebody')), undefined);
  assert.equal(itemFault(control('OTHER#1', { revision: { S: 'x' } })), undefined);
});

test('a record is named as a restore is asked for it, anything else by its key', () => {
  const sk = 'STATE';
  assert.equal(itemName({ pk: recordPk(KEY), sk }), 'acme/notes/n1');
  assert.equal(itemName({ pk: 'CONTROL#routing', sk }), 'CONTROL#routing STATE');
  assert.equal(itemName({ pk: recordPk(KEY), sk: 'X' }), 'R#acme#notes#n1 X');
  assert.deepEqual(itemKey(KEY), { pk: { S: recordPk(KEY) }, sk: { S: sk } });
});
