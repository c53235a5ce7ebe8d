// The functions of two Regions whose replicas only follow each other: how a conflict is decided without a vote, what a
// pull promises while the other Region is silent, and the reconciler on real items, whatever fails on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPlace } from '../../lambdas/env.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { auditKey, losingPayloadKey } from '../../protocol/audit.ts';
import { STATE } from '../../protocol/items.ts';
import { FEED_SETTLE_MS } from '../../protocol/limits.ts';
import { clockOf } from '../../protocol/versions.ts';
import {
  beatOf,
  diverge,
  keyOf,
  newTenant,
  openSides,
  payloadOf,
  push,
  pushEarlier,
  send,
  sides,
  trailOf,
} from './followers.ts';
import { Device, EPOCH, REGIONS } from './functions.ts';

openSides();

test('a conflict is decided by the copy it met, in one write, with an entry that says nobody voted', async () => {
  const { west } = sides;
  for (const [offsetMs, verdict, outcome] of [
    [5_000, 'applied', 'incoming'],
    [-60_000, 'superseded', 'stored'],
  ] as const) {
    const tenant = newTenant();
    await push('west', tenant, new Device(), 'first');
    const stranger = new Device();
    const said = await push('west', tenant, stranger, 'second', {
      version: stranger.version(Date.now() + offsetMs),
    });
    assert.equal(said.verdict, verdict);
    const [entry, ...others] = await trailOf('west', tenant);
    assert.equal(others.length, 0);
    assert.deepEqual(
      [entry?.quorum, entry?.votes, entry?.outcome, entry?.lost],
      ['none', [], outcome, outcome === 'incoming' ? 'first' : 'second'],
    );
    const stored = await west.stored(tenant);
    assert.equal(
      stored?.through?.get(REGIONS.primary),
      stored?.commitVersion,
      'a decision names its Region too',
    );
  }
});

test('a conflict with a copy that is not whole is deferred', async () => {
  const tenant = newTenant();
  await push('west', tenant, new Device(), 'first');
  await sides.west.functions.damage(tenant, 'notes', 'a');
  const verdict = await sides.west.functions.verdict(tenant, new Device().put('a', 'second'));
  assert.deepEqual([verdict.verdict, 'reason' in verdict && verdict.reason], ['deferred', 'no_quorum']);
  assert.deepEqual(await sides.west.functions.audit.objects.size, 0);
});

test('every write names the Region it went through, and a follower keeps what it came from', async () => {
  const tenant = newTenant();
  const device = new Device();
  const first = device.put('a', 1);
  await sides.west.told(tenant, () => sides.west.functions.verdict(tenant, first));
  await send(tenant, 'west', 'east');
  await push('east', tenant, device, 2, { base: first.version });
  const [west, east] = [await sides.west.stored(tenant), await sides.east.stored(tenant)];
  assert.deepEqual(
    [...(east?.through ?? [])],
    [
      [REGIONS.primary, west?.commitVersion],
      [REGIONS.standby, east?.commitVersion],
    ],
  );
  await send(tenant, 'east', 'west');
  for (const side of ['west', 'east'] as const) assert.deepEqual(await sides[side].reconcile(tenant), []);
  assert.deepEqual(await sides.west.stored(tenant), east, 'nothing had to be put right');
  assert.deepEqual(await trailOf('west', tenant), []);
});

test('a write without a session names its Region as well', async () => {
  const tenant = newTenant();
  const { status } = await sides.west.functions.record('PUT', tenant, 'a', {
    headers: { 'if-none-match': '*' },
    body: '"by hand"',
  });
  assert.equal(status, 201);
  const stored = await sides.west.stored(tenant);
  assert.equal(stored?.through?.get(REGIONS.primary), stored?.commitVersion);
});

test('the reconciler puts the higher version back, with what lost, and the other Region follows', async () => {
  const tenant = newTenant();
  const { a, b } = await diverge(tenant);
  assert.equal(await payloadOf('west', tenant), 'lower');
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  assert.equal(await payloadOf('west', tenant), 'higher');
  const [entry, ...others] = await trailOf('west', tenant);
  assert.equal(others.length, 0);
  assert.deepEqual(
    [entry?.quorum, entry?.outcome, entry?.lost, entry?.incoming.session, entry?.region],
    ['none', 'stored', 'lower', undefined, REGIONS.primary],
  );
  const stored = await sides.west.stored(tenant);
  assert.deepEqual([...(stored?.settled.keys() ?? [])].sort(), [a.session, b.session].sort());
  await send(tenant, 'west', 'east');
  assert.deepEqual(await sides.east.reconcile(tenant), []);
  assert.deepEqual(await sides.east.stored(tenant), stored, 'East finds its own last write in it');
  assert.equal(sides.east.functions.telemetry.sum('reconcile_failures'), 0);
});

test('a lower version that was dropped unseen is in an entry too, though the state is right', async () => {
  const tenant = newTenant();
  await diverge(tenant);
  const [fresh] = [await sides.west.item(tenant)];
  assert.ok(fresh);
  // The other way round: East's lower one is replaced by West's higher one.
  const first = sides.west.events.at(-1)?.dynamodb?.OldImage;
  assert.ok(first);
  await sides.east.told(tenant, () => sides.east.put(first));
  assert.deepEqual(await sides.east.reconcile(tenant), []);
  assert.equal(await payloadOf('east', tenant), 'higher');
  const [entry] = await trailOf('east', tenant);
  assert.deepEqual(
    [entry?.outcome, entry?.lost, entry?.stored?.commitVersion !== undefined],
    ['incoming', 'lower', true],
  );
  sides.west.events.length = 0;
});

test('a batch that is delivered again changes nothing', async () => {
  const tenant = newTenant();
  await diverge(tenant);
  await sides.west.reconcile(tenant);
  const stored = await sides.west.stored(tenant);
  for (const Records of [sides.west.delivered, [...sides.west.delivered, ...sides.west.events]]) {
    assert.deepEqual(await sides.west.reconciler()({ Records }), { batchItemFailures: [] });
    assert.deepEqual(await sides.west.stored(tenant), stored);
  }
});

test('what was written meanwhile is what the higher version is put over', async () => {
  const tenant = newTenant();
  const { b } = await diverge(tenant);
  const lower = (await sides.west.stored(tenant))?.version ?? assert.fail();
  let told = false;
  sides.west.wrap = (store) => ({
    async reconcile(write) {
      if (!told)
        await push('west', tenant, b, 'meanwhile', { base: lower, version: b.version(Date.now() - 4_000) });
      told = true;
      return store.reconcile(write);
    },
  });
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  sides.west.wrap = (store) => store;
  assert.equal(await payloadOf('west', tenant), 'higher');
  const [entry] = await trailOf('west', tenant);
  assert.equal(entry?.lost, 'meanwhile', 'not what was replaced by somebody who had seen it');
  assert.deepEqual(await sides.west.reconcile(tenant), [], 'and the edit itself is as it should be');
});

test('a payload too large for an entry goes into the bucket first', async () => {
  const tenant = newTenant();
  const large = 'x'.repeat(20_000);
  await diverge(tenant, { lower: large });
  const { audit } = sides.west.functions;
  audit.down = (call) => call.includes('losing-payloads');
  const [failed] = await sides.west.reconcile(tenant);
  assert.ok(failed, 'without the bucket nothing is written');
  assert.equal(await payloadOf('west', tenant), large);
  audit.down = () => false;
  sides.west.events.push(...sides.west.delivered);
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  const [entry] = await trailOf('west', tenant);
  assert.equal(entry?.lost, large);
  assert.ok(audit.objects.has(losingPayloadKey(tenant, entry?.incoming.sha256 ?? '')));
});

test('a full outbox is archived and left empty but for the new entry', async () => {
  const tenant = newTenant();
  await push('west', tenant, new Device(), 'first');
  for (let conflict = 0; conflict < 4; conflict += 1) await pushEarlier('west', tenant, 'y'.repeat(15_000));
  await pushEarlier('east', tenant, 'z'.repeat(15_000));
  await send(tenant, 'east', 'west');
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  const stored = await sides.west.stored(tenant);
  assert.deepEqual([stored?.audit.sequence, stored?.audit.outbox.length], [5, 1]);
  const conflicts = await trailOf('west', tenant);
  assert.deepEqual(
    conflicts.map(({ sequence }) => sequence),
    [5, 4, 3, 2, 1],
    'the chain holds, through the bucket',
  );
});

test('both sides added to the trail: the longer one goes on and names the end of the other', async () => {
  const tenant = newTenant();
  await push('west', tenant, new Device(), 1);
  await send(tenant, 'west', 'east');
  for (const payload of ['w1', 'w2']) await pushEarlier('west', tenant, payload);
  await pushEarlier('east', tenant, 'e');
  const east = await sides.east.stored(tenant);
  await send(tenant, 'east', 'west');
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  const [entry, ...others] = await trailOf('west', tenant);
  assert.equal(others.length, 2);
  assert.deepEqual(entry?.merges, { sequence: 1, hash: east?.audit.head });
  assert.equal(entry?.lost, undefined, 'both held the same state');
  const key = { tenant, collection: 'notes', id: 'a' };
  const end = auditKey(key, 1, east?.audit.head ?? assert.fail());
  assert.ok(
    sides.west.functions.audit.objects.has(end),
    'what the write took out of the item is archived first',
  );
});

test('a record that a sweep took from under an edit comes back; an old tombstone does not', async () => {
  const tenant = newTenant();
  await push('west', tenant, new Device(), 'alive');
  const stored = await sides.west.stored(tenant);
  await sides.west.told(tenant, () => sides.west.remove(tenant));
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  assert.equal(await payloadOf('west', tenant), 'alive');
  assert.deepEqual((await sides.west.stored(tenant))?.settled, stored?.settled);
  const device = new Device();
  const gone = newTenant();
  await sides.west.told(gone, () => sides.west.functions.verdict(gone, device.delete('a')));
  const later = Date.now() + 94 * 86_400_000;
  await sides.west.told(gone, () => sides.west.remove(gone), later);
  assert.deepEqual(await sides.west.reconcile(gone), []);
  assert.equal(await sides.west.stored(gone), undefined);
});

test('what arrives late is stamped again, once, so that a pull brings it', async () => {
  const tenant = newTenant();
  await push('east', tenant, new Device(), 'late');
  const stamped = await sides.east.stored(tenant);
  const arrivedMs = Date.now() + FEED_SETTLE_MS;
  await send(tenant, 'east', 'west', arrivedMs);
  sides.west.functions.offsetMs = FEED_SETTLE_MS;
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  const again = await sides.west.stored(tenant);
  assert.equal(again?.version, stamped?.version);
  assert.ok(clockOf(again?.commitVersion ?? assert.fail()).ms >= arrivedMs - 1_000);
  assert.deepEqual(await sides.west.reconciler()({ Records: sides.west.delivered }), {
    batchItemFailures: [],
  });
  assert.equal((await sides.west.stored(tenant))?.commitVersion, again?.commitVersion);
  sides.west.functions.offsetMs = 0;
  assert.deepEqual(await trailOf('west', tenant), [], 'nothing lost, nothing to tell');
});

test('while a restore is under way the batch waits; what is older than it stays gone', async () => {
  const tenant = newTenant();
  await diverge(tenant);
  for (const generation of [{ status: 'restoring', restoreEpoch: EPOCH } as const, undefined]) {
    sides.west.generation = generation;
    assert.equal((await sides.west.reconcile(tenant)).length, 1);
    assert.equal(await payloadOf('west', tenant), 'lower');
    sides.west.events.push(...sides.west.delivered);
  }
  sides.west.generation = { status: 'open', restoreEpoch: Date.now() + 60_000 };
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  assert.equal(await payloadOf('west', tenant), 'lower');
  sides.west.generation = { status: 'open', restoreEpoch: EPOCH };
});

test('a busy table is tried again, one that is gone brings the batch back, and the rest of it with it', async () => {
  const failure = (retryable: boolean) =>
    new StoreUnavailableError('no', { retryable, mayHaveLanded: !retryable });
  const tenant = newTenant();
  await diverge(tenant);
  let calls = 0;
  sides.west.wrap = () => ({
    reconcile: async () => {
      calls += 1;
      throw failure(false);
    },
  });
  const [failed] = await sides.west.reconcile(tenant);
  assert.equal(failed, sides.west.delivered.at(-1)?.dynamodb?.SequenceNumber);
  assert.equal(calls, 1);
  sides.west.wrap = (store) => ({
    reconcile: async (write) => {
      calls += 1;
      if (calls < 4) throw failure(true);
      return store.reconcile(write);
    },
  });
  sides.west.events.push(...sides.west.delivered);
  assert.deepEqual(await sides.west.reconcile(tenant), []);
  assert.equal(calls, 4);
  assert.equal(await payloadOf('west', tenant), 'higher');
  sides.west.wrap = (store) => store;
});

test('a dropped record that is not whole stays dropped, and counts', async () => {
  const tenant = newTenant();
  await diverge(tenant);
  const { telemetry } = sides.west.functions;
  const before = telemetry.sum('data_corruption');
  const record = sides.west.events.at(-1)?.dynamodb ?? assert.fail();
  const damaged = { ...record, OldImage: { ...record.OldImage, payload: { S: '"other"' } } };
  assert.deepEqual(await sides.west.reconciler()({ Records: [{ dynamodb: damaged }] }), {
    batchItemFailures: [],
  });
  assert.equal(await payloadOf('west', tenant), 'lower');
  assert.equal(telemetry.sum('data_corruption'), before + 1);
  sides.west.events.length = 0;
});

test('what lost and is damaged counts, and its entry has only its hash', async () => {
  const tenant = newTenant();
  await diverge(tenant, { lower: 'y'.repeat(20_000) });
  const { functions } = sides.west;
  const before = functions.telemetry.sum('data_corruption');
  await functions.damage(tenant, 'notes', 'a');
  const change = sides.west.events.pop()?.dynamodb ?? assert.fail();
  const NewImage = (await sides.west.item(tenant)) ?? assert.fail();
  sides.west.events.push({ dynamodb: { ...change, NewImage } });
  assert.deepEqual(await sides.west.reconcile(tenant), [], 'what comes behind it is not held up');
  assert.equal(functions.telemetry.sum('data_corruption'), before + 1);
  assert.equal(await payloadOf('west', tenant), 'higher');
  const [entry] = await trailOf('west', tenant);
  assert.deepEqual([entry?.damaged, entry?.lost, typeof entry?.incoming.sha256], [true, undefined, 'string']);
});

test('control items, and what is no record of ours, are passed over', async () => {
  const run = sides.west.reconciler();
  const image = { pk: { S: 'CONTROL#routing' }, sk: { S: STATE } };
  const broken = { ...keyOf('acme'), version: { S: 'none' } };
  for (const NewImage of [image, broken])
    assert.deepEqual(await run({ Records: [{ dynamodb: { SequenceNumber: '1', NewImage } }] }), {
      batchItemFailures: [],
    });
  assert.match(sides.west.functions.telemetry.errors.join(), /an image is no record of ours/);
});

test('a pull needs one beat of the other Region, not a steady feed, and its checkpoint waits for that Region', async () => {
  const { functions } = sides.east;
  const tenant = newTenant();
  await push('east', tenant, new Device(), 'mine');
  const silent = await functions.pull(tenant);
  assert.deepEqual([silent.status, silent.body.code], [503, 'feed_unsteady']);
  await beatOf('east', REGIONS.standby, Date.now());
  assert.equal((await functions.pull(tenant)).status, 503, 'its own beat says nothing');

  // The other Region was last heard of an hour ago: what it wrote since may be stamped from then on.
  const heardMs = Date.now() - 3_600_000;
  await beatOf('east', REGIONS.primary, heardMs);
  const first = await functions.pull(tenant);
  assert.deepEqual([first.status, first.body.changes.length, first.body.more], [200, 1, false]);
  const missed = new Device();
  const theirs = await sides.west.told(tenant, async () => {
    sides.west.functions.offsetMs = heardMs + 60_000 - Date.now();
    await sides.west.functions.verdict(
      tenant,
      missed.put('b', 'theirs', { version: missed.version(heardMs) }),
    );
    sides.west.functions.offsetMs = 0;
    return sides.west.item(tenant, 'b');
  });
  await sides.east.put(theirs ?? assert.fail());
  const second = await functions.pull(tenant, { cursor: first.body.cursor });
  assert.deepEqual(
    second.body.changes.map(({ id }) => id).sort(),
    ['a', 'b'],
    'a checkpoint by the time of day would have passed it',
  );
  sides.west.events.length = 0;
  sides.east.events.length = 0;
});

test('the environment names two Regions or three, and a role there is', () => {
  const two = JSON.stringify({ primary: 'us-gov-west-1', standby: 'us-gov-east-1' });
  const source = { EDEN_STAGE: 'gov', EDEN_ROLE: 'standby', AWS_REGION: 'us-gov-east-1', EDEN_REGIONS: two };
  assert.deepEqual(readPlace(source).regions, JSON.parse(two));
  assert.throws(
    () => readPlace({ ...source, EDEN_ROLE: 'quorum' }),
    /EDEN_ROLE: expected primary or standby/,
  );
  for (const regions of [
    '{"primary":"us-gov-west-1"}',
    '{"primary":"us-gov-west-1","standby":"us-gov-east-1","quorum":3}',
  ])
    assert.throws(() => readPlace({ ...source, EDEN_REGIONS: regions }), /EDEN_REGIONS: expected/);
});
