// `npm run audit`: what it makes of trails that hold, that do not, and of buckets that lack what others have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fill } from '../../bin/audit/fill.ts';
import { keysOf, recordsOf } from '../../bin/audit/listing.ts';
import type { AuditPlace, TrailHead } from '../../bin/audit/places.ts';
import { Arrival } from '../../bin/audit/verify.ts';
import { verifyAll } from '../../bin/audit/verify-all.ts';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import { auditKey, auditText, losingPayloadKey } from '../../protocol/audit.ts';
import { recordPk } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { type TrailEntry, trailOf } from '../lambdas/audit-trail.ts';

const NOTE: RecordKey = { tenant: 'acme', collection: 'notes', id: 'n1' };
const LARGE = JSON.stringify({ text: 'x'.repeat(20_000) });
const LARGE_KEY = losingPayloadKey('acme', sha256Of(LARGE));

class Place implements AuditPlace {
  readonly objects = new Map<string, string>();
  readonly heads = new Map<string, TrailHead>();
  readonly region: string;
  constructor(region: string) {
    this.region = region;
  }
  async *keys(prefix: string) {
    yield* [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }
  async text(key: string) {
    return this.objects.get(key);
  }
  async put(key: string, text: string) {
    if (!this.objects.has(key)) this.objects.set(key, text);
  }
  async head(record: RecordKey) {
    return this.heads.get(recordPk(record));
  }
  /** Archived, and named by the item; the last so many also, or only, in its outbox. */
  hold(trail: readonly TrailEntry[], { outbox = 0, item = true } = {}) {
    for (const { key, text } of trail.slice(0, outbox === 0 ? undefined : -outbox))
      this.objects.set(key, text);
    const last = trail.at(-1) ?? assert.fail('expected an entry');
    if (item)
      this.heads.set(recordPk(last.entry.record), {
        sequence: last.entry.sequence,
        hash: last.hash,
        outbox: outbox === 0 ? [] : trail.slice(-outbox).map(({ text }) => text),
      });
    return this;
  }
}

interface Verified {
  readonly holds: boolean;
  readonly lines: readonly string[];
  readonly waited: number;
}

async function verified(
  places: readonly Place[],
  {
    peers = [],
    record,
    waitMs = 0,
    onWait = () => {},
  }: {
    readonly peers?: readonly Place[];
    readonly record?: RecordKey;
    readonly waitMs?: number;
    readonly onWait?: () => void;
  } = {},
): Promise<Verified> {
  const lines: string[] = [];
  let waited = 0;
  const sleep = async () => {
    waited += 1;
    onWait();
  };
  const holds = await verifyAll({
    record,
    places,
    peers,
    arrival: new Arrival(waitMs, sleep),
    say: (line) => lines.push(line),
  });
  return { holds, lines, waited };
}

/** Of the one record and region that were verified. */
async function faultOf(place: Place, peers: readonly Place[] = []): Promise<string> {
  const { holds, lines } = await verified([place], { peers, record: NOTE });
  assert.equal(holds, false, lines.join('\n'));
  return lines[0] ?? '';
}

const oneHeld = (length = 3, options: Parameters<typeof trailOf>[2] = {}) => {
  const trail = trailOf(NOTE, length, options);
  return { trail, place: new Place('us-east-2').hold(trail) };
};

test('a chain holds through outbox and bucket, and every record and region is counted', async () => {
  const trail = trailOf(NOTE, 3, { elsewhere: { 2: LARGE } });
  const other = trailOf({ ...NOTE, id: 'n1-2' }, 2);
  const places = ['us-east-2', 'us-west-2'].map((region) => {
    const place = new Place(region).hold(trail, { outbox: 1 }).hold(other);
    place.objects.set(LARGE_KEY, LARGE);
    return place;
  });
  const { holds, lines } = await verified(places);
  assert.equal(holds, true);
  assert.deepEqual(lines, [
    'us-east-2  holds   acme/notes/n1-2: 2 entries',
    'us-west-2  holds   acme/notes/n1-2: 2 entries',
    'us-east-2  holds   acme/notes/n1: 3 entries',
    'us-west-2  holds   acme/notes/n1: 3 entries',
    'us-east-2: 2 records, 5 entries, 1 payloads beside them, 0 broken',
    'us-west-2: 2 records, 5 entries, 1 payloads beside them, 0 broken',
  ]);
});

test('a record that never met a conflict holds, and so does one that is not there', async () => {
  const place = new Place('us-east-2');
  assert.equal((await verified([place], { record: NOTE })).holds, true);
  place.heads.set(recordPk(NOTE), { sequence: 0, hash: '', outbox: [] });
  const { lines } = await verified([place], { record: NOTE });
  assert.equal(lines[0], 'us-east-2  holds   acme/notes/n1: 0 entries');
});

test('names the first broken link from the head, by record, sequence and hash', async () => {
  for (const [damage, what] of [
    [(place: Place, { key }: TrailEntry) => place.objects.delete(key), /there is no such entry$/],
    [
      (place: Place, { key, text }: TrailEntry) => place.objects.set(key, text.replace('incoming', 'stored')),
      /its content hashes to [0-9a-f]{64}$/,
    ],
  ] as const) {
    const { trail, place } = oneHeld();
    const [, second = assert.fail()] = trail;
    damage(place, second);
    const { holds, lines } = await verified([place]);
    assert.equal(holds, false);
    const link = `acme/notes/n1 entry 2 (${second.hash}): `;
    assert.ok(lines[0]?.startsWith(`us-east-2  BROKEN  ${link}`), lines[0]);
    assert.match(lines[0] ?? '', what);
    assert.equal(lines[1], 'us-east-2: 1 records, 2 entries, 0 payloads beside them, 1 broken');
    assert.ok(lines[2]?.startsWith(`  the first that is broken: ${link}`), lines[2]);
  }
});

test('an entry taken out with the chain sewn together again shows at the head', async () => {
  const { trail, place } = oneHeld();
  const [first, second, third] = trail;
  assert.ok(first && second && third);
  place.objects.delete(second.key);
  place.objects.delete(third.key);
  const text = auditText({ ...third.entry, sequence: 2, previous: first.hash });
  place.objects.set(auditKey(NOTE, 2, sha256Of(text)), text);
  assert.match(await faultOf(place), new RegExp(`entry 3 \\(${third.hash}\\): there is no such entry`));
});

test('an entry of another record, and what is no entry at all, break the chain they stand in', async () => {
  const [foreign] = trailOf({ ...NOTE, id: 'n2' }, 1);
  assert.ok(foreign);
  const place = new Place('us-east-2');
  place.objects.set(auditKey(NOTE, 1, foreign.hash), foreign.text);
  place.heads.set(recordPk(NOTE), { sequence: 1, hash: foreign.hash, outbox: [] });
  assert.match(await faultOf(place), /entry 1 .*it says of itself that it is of acme\/notes\/n2/);
  const text = 'nonsense';
  place.objects.set(auditKey(NOTE, 2, sha256Of(text)), text);
  place.heads.set(recordPk(NOTE), { sequence: 2, hash: sha256Of(text), outbox: [] });
  assert.match(await faultOf(place), /entry 2 .*its content is no audit entry/);
});

test('a head that the outbox does not lead to is broken', async () => {
  const { trail, place } = oneHeld();
  place.heads.set(recordPk(NOTE), { sequence: 4, hash: 'f'.repeat(64), outbox: [trail[2]?.text ?? ''] });
  assert.match(await faultOf(place), /entry 4 \(f{64}\): there is no such entry/);
});

test('a losing payload that is missing or damaged breaks the entry that names it', async () => {
  const { place } = oneHeld(2, { elsewhere: { 1: LARGE } });
  assert.match(
    await faultOf(place),
    new RegExp(`entry 1 .*the payload that lost is not there: ${LARGE_KEY}$`),
  );
  place.objects.set(LARGE_KEY, `${LARGE} `);
  assert.match(await faultOf(place), /entry 1 .*the payload that lost hashes to/);
  place.objects.set(LARGE_KEY, LARGE);
  assert.equal((await verified([place])).holds, true);
});

test('what another region has is said, with how to bring it', async () => {
  const { trail, place } = oneHeld(2, { elsewhere: { 1: LARGE } });
  const peer = new Place('us-west-2').hold(trail);
  peer.objects.set(LARGE_KEY, LARGE);
  const hint = /; us-west-2 has it: npm run audit -- fill --region us-east-2$/;
  assert.match(await faultOf(place, [peer]), hint);
  place.objects.delete(trail[0]?.key ?? '');
  assert.match(await faultOf(place, [peer]), hint);
  assert.match(await faultOf(place, [new Place('us-east-1')]), /there is no such entry$/);
});

test('a swept record is walked from its highest entry, and it says so', async () => {
  const trail = trailOf(NOTE, 3);
  const place = new Place('us-east-2').hold(trail, { item: false });
  const { holds, lines } = await verified([place]);
  assert.equal(holds, true);
  assert.equal(
    lines[0],
    'us-east-2  holds   acme/notes/n1: 3 entries; no item any more, so that the walk began at the highest entry',
  );
  place.objects.delete(trail[0]?.key ?? '');
  assert.match(await faultOf(place), /entry 1 .*there is no such entry/);
});

test('chains of an earlier life are walked too, and one of them may be broken', async () => {
  const before = trailOf(NOTE, 4);
  const place = new Place('us-east-2').hold(before).hold(trailOf(NOTE, 2, { salt: 500 }));
  const { holds, lines } = await verified([place]);
  assert.equal(holds, true);
  assert.equal(
    lines[0],
    'us-east-2  holds   acme/notes/n1: 6 entries; 1 more whose end nothing names: from before a sweep or a restore, or a branch not left yet',
  );
  place.objects.delete(before[1]?.key ?? '');
  assert.match(await faultOf(place), new RegExp(`entry 2 \\(${before[1]?.hash}\\): there is no such entry`));
});

/** Of one first entry: West's trail leaves East's, which had left another before. Seven entries in all. */
function forked() {
  const root = trailOf(NOTE, 1);
  const deepest = trailOf(NOTE, 2, { onto: root, salt: 700 });
  const branch = trailOf(NOTE, 3, {
    onto: root,
    salt: 800,
    merges: { 3: deepest.at(-1) ?? assert.fail() },
    elsewhere: { 2: LARGE },
  });
  const trail = trailOf(NOTE, 4, { onto: root, merges: { 4: branch.at(-1) ?? assert.fail() } });
  const own = new Place('us-gov-west-1').hold(trail);
  const peer = new Place('us-gov-east-1').hold(branch, { item: false }).hold(deepest, { item: false });
  peer.objects.set(LARGE_KEY, LARGE);
  return { own, peer, deepest, branch };
}

test('a branch that was left is walked to its beginning, in the own bucket or in a peer of it', async () => {
  const { own, peer, branch } = forked();
  const { holds, lines } = await verified([own], { peers: [peer] });
  assert.equal(holds, true, lines.join('\n'));
  assert.equal(lines[0], 'us-gov-west-1  holds   acme/notes/n1: 7 entries; with 2 branches that were left');
  assert.equal(lines[1], 'us-gov-west-1: 1 records, 7 entries, 1 payloads beside them, 0 broken');
  for (const { key, text } of branch) own.objects.set(key, text);
  const again = await verified([own], { peers: [peer] });
  assert.deepEqual(again.lines, lines, 'it is no chain of an earlier life');
});

test('a branch that was left and is nowhere, or is not whole, is broken', async () => {
  for (const at of [0, 1, 2, 3] as const) {
    const { own, peer, branch, deepest } = forked();
    const lost = [...branch.slice(1), ...deepest.slice(1)][at] ?? branch[1] ?? assert.fail();
    const what = new RegExp(
      `entry ${lost.entry.sequence} \\(${lost.hash}\\): there is no such entry, in no bucket`,
    );
    peer.objects.delete(lost.key);
    assert.match(await faultOf(own, [peer]), what);
    peer.objects.set(lost.key, `${lost.text} `);
    assert.match(await faultOf(own, [peer]), /its content hashes to/);
  }
  const { own, peer } = forked();
  assert.match(await faultOf(own), /entry 3 .* there is no such entry, in no bucket that answers/);
  peer.objects.delete(LARGE_KEY);
  assert.match(await faultOf(own, [peer]), /entry 2 .*the payload that lost is not there/);
  peer.text = async () => assert.fail('it does not answer');
  assert.match(await faultOf(own, [peer]), /entry 3 .* there is no such entry/);
});

test('an entry that is on its way is waited for; once something did not come, nothing else is', async () => {
  const { trail, place } = oneHeld();
  const last = trail[2] ?? assert.fail();
  place.objects.delete(last.key);
  let steps = 0;
  const late = await verified([place], {
    waitMs: 5_000,
    onWait() {
      steps += 1;
      if (steps === 3) place.objects.set(last.key, last.text);
    },
  });
  assert.deepEqual([late.holds, late.waited], [true, 3]);
  const other = trailOf({ ...NOTE, id: 'n2' }, 1);
  place.hold(other);
  place.objects.delete(last.key);
  place.objects.delete(other[0]?.key ?? '');
  const never = await verified([place], { waitMs: 1_000 });
  assert.equal(never.holds, false);
  assert.ok(never.waited <= 4, `waited ${never.waited} times`);
});

test('an object that names no entry is told of and left alone', async () => {
  const { place } = oneHeld(1);
  for (const key of ['audit/stray', `audit/acme/notes/n1/0000000000-${'0'.repeat(64)}`])
    place.objects.set(key, '?');
  const { holds, lines } = await verified([place]);
  assert.equal(holds, true);
  assert.match(lines.join('\n'), /us-east-2 {2}audit\/stray names no audit entry/);
});

test('listings are walked together in order, record by record', async () => {
  const [a, b] = [new Place('a'), new Place('b')];
  for (const key of ['x/1', 'x/3']) a.objects.set(key, '');
  for (const key of ['x/2', 'x/3', 'y/1']) b.objects.set(key, '');
  const seen = await Array.fromAsync(keysOf([a, b], 'x/'), ({ key, places }) => [key, places.size]);
  assert.deepEqual(seen, [
    ['x/1', 1],
    ['x/2', 1],
    ['x/3', 2],
  ]);
  a.hold(trailOf(NOTE, 2));
  b.hold(trailOf({ ...NOTE, id: 'n1-b' }, 1)).hold(trailOf(NOTE, 3));
  const records = await Array.fromAsync(
    recordsOf([a, b], () => assert.fail('no stray')),
    ({ record, keys }) => [record.id, keys.get(a)?.length ?? 0, keys.get(b)?.length ?? 0],
  );
  assert.deepEqual(records, [
    ['n1-b', 0, 1],
    ['n1', 2, 3],
  ]);
});

test('fill copies what is missing and whole, and names what is damaged everywhere', async () => {
  const trail = trailOf(NOTE, 3, { elsewhere: { 2: LARGE } });
  const place = new Place('us-east-2').hold(trail.slice(0, 1));
  const peers = [new Place('us-west-2'), new Place('us-east-1')];
  for (const peer of peers) peer.hold(trail).objects.set(LARGE_KEY, LARGE);
  const [third = assert.fail()] = trail.slice(2);
  peers[0]?.objects.set(third.key, 'damaged');
  assert.deepEqual(await fill(place, peers), { entries: 2, payloads: 1, damaged: [] });
  assert.equal(place.objects.get(third.key), third.text);
  assert.equal((await verified([place])).holds, true);
  assert.deepEqual(await fill(place, peers), { entries: 0, payloads: 0, damaged: [] });
  place.objects.delete(third.key);
  peers[1]?.objects.delete(third.key);
  assert.deepEqual(await fill(place, peers), { entries: 0, payloads: 0, damaged: [third.key] });
});
