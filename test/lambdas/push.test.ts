// `POST /v1/sync/push`: what becomes of operations, sent once, twice, at once, too early, too late, on top of others'.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStampClock } from '../../lambdas/core/clock.ts';
import { type Store, StoreUnavailableError } from '../../lambdas/store/store.ts';
import { CLOCK_AHEAD_MS_MAX, OPERATION_AGE_MS_MAX } from '../../protocol/limits.ts';
import type { Json } from '../../protocol/operations.ts';
import type { Version } from '../../protocol/versions.ts';
import { Device, EPOCH, Functions, openFunctions, withoutReplicas } from './functions.ts';

const functions = await openFunctions();
const { running } = functions;
let tenants = 0;
const newTenant = () => `t-${++tenants}`;
const DAY_MS = 86_400_000;

const payloadOf = async (tenant: string, id: string): Promise<Json | undefined> => {
  const reply = await functions.record('GET', tenant, id);
  return reply.status === 200 ? reply.body.payload : undefined;
};
const stored = (tenant: string, id: string) =>
  functions.service.store.read({ tenant, collection: 'notes', id });

test('a first edit creates the record, at the version its author gave it', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const operation = device.put('a', { text: 'hello' });
  const reply = await functions.push(tenant, [operation]);
  assert.equal(reply.status, 200);
  assert.equal(reply.headers['eden-restore-epoch'], String(EPOCH));
  assert.equal(reply.headers['eden-region'], 'us-east-2');
  const { session, sequence, version } = operation;
  assert.deepEqual(reply.body, { verdicts: [{ session, sequence, verdict: 'applied', version }] });
  assert.deepEqual(await payloadOf(tenant, 'a'), { text: 'hello' });
});

test('an operation sent again, however often, has one effect and answers duplicate', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const first = device.put('a', 1);
  await functions.verdict(tenant, first);
  const second = device.put('a', 2, { base: first.version });
  await functions.verdict(tenant, second);
  for (const again of [first, second, first]) {
    const verdict = await functions.verdict(tenant, again);
    assert.deepEqual(
      { verdict: verdict.verdict, version: 'version' in verdict && verdict.version },
      { verdict: 'duplicate', version: second.version },
    );
  }
  assert.equal(await payloadOf(tenant, 'a'), 2);
});

test('an operation hedged to two regions at once has one effect', async () => {
  const standby = new Functions({ running, role: 'standby' });
  try {
    for (let round = 0; round < 10; round += 1) {
      const [tenant, device] = [newTenant(), new Device()];
      const operation = device.put('a', round);
      const verdicts = await Promise.all([
        functions.verdict(tenant, operation),
        standby.verdict(tenant, operation),
      ]);
      const names = verdicts.map(({ verdict }) => verdict).sort();
      // A region that the other held up longer than its attempts last defers; the next send finds out.
      assert.ok(names.includes('applied'), names.join());
      assert.ok(['applied,duplicate', 'applied,deferred'].includes(names.join()), names.join());
      assert.equal((await functions.verdict(tenant, operation)).verdict, 'duplicate');
      assert.equal((await stored(tenant, 'a'))?.settled.size, 1);
    }
  } finally {
    standby.close();
  }
});

test('an operation twice in one batch is applied once', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const operation = device.put('a', 1);
  const verdicts = await functions.verdicts(tenant, [operation, operation]);
  assert.deepEqual(
    verdicts.map(({ verdict }) => verdict),
    ['applied', 'duplicate'],
  );
});

test('the commit stamp is made anew and passes a stored one that is ahead', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const ahead = createStampClock('d'.repeat(16)).stamp(Date.now() + 3_600_000);
  const first = device.put('a', 1);
  await functions.service.store.write({
    key: { tenant, collection: 'notes', id: 'a' },
    version: first.version,
    content: { deleted: true },
    base: undefined,
    commitVersion: ahead,
  });
  const second = device.put('a', 2, { base: first.version });
  // Another environment, whose clock has not seen that stamp.
  const other = new Functions({ running });
  assert.equal((await other.verdict(tenant, second)).verdict, 'applied');
  other.close();
  assert.ok(((await stored(tenant, 'a'))?.commitVersion ?? '') > ahead);
});

test('two sessions racing on one base: the later version is the state, and the other is in the audit trail', async () => {
  const [tenant, a, b] = [newTenant(), new Device(), new Device()];
  const first = a.put('a', 0);
  await functions.verdict(tenant, first);
  const earlier = a.put('a', 'earlier', { base: first.version });
  const later = b.put('a', 'later', { base: first.version, version: b.version(Date.now() + 5) });
  const verdicts = await Promise.all([functions.verdict(tenant, earlier), functions.verdict(tenant, later)]);
  assert.ok(['applied', 'superseded'].includes(verdicts[0].verdict), verdicts[0].verdict);
  assert.equal(verdicts[1].verdict, 'applied');
  assert.equal(await payloadOf(tenant, 'a'), 'later');
  const { conflicts } = (await functions.conflicts(tenant, 'a')).body;
  assert.deepEqual(
    conflicts.map(({ lost }) => lost),
    ['earlier'],
  );
});

test('a state made by the same file counts as the base, whatever the edit says', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const first = device.put('a', 1);
  await functions.verdict(tenant, first);
  device.session = 'b'.repeat(32);
  device.sequence = 0;
  assert.equal((await functions.verdict(tenant, device.put('a', 2))).verdict, 'applied');
  const stale = device.put('a', 3, { base: first.version });
  assert.equal((await functions.verdict(tenant, stale)).verdict, 'applied');
  assert.equal(await payloadOf(tenant, 'a'), 3);
});

test('an edit not above the same file’s stored version is clock_ahead with that version', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const late = device.version();
  const first = device.put('a', 1);
  await functions.verdict(tenant, first);
  const verdict = await functions.verdict(tenant, device.put('a', 2, { version: late }));
  assert.ok(verdict.verdict === 'clock_ahead');
  assert.equal(verdict.version, first.version);
  assert.ok(Math.abs(verdict.serverTimeMs - Date.now()) < 5_000);
});

test('an edit on a tombstone brings the record back, and an older one that did not know of it loses', async () => {
  const [tenant, a, b] = [newTenant(), new Device(), new Device()];
  const older = b.put('a', 2, { version: new Device(b.file).version(Date.now() - 1_000) });
  const first = a.put('a', 1);
  const gone = a.delete('a', { base: first.version });
  await functions.verdicts(tenant, [first, gone]);
  assert.equal(await payloadOf(tenant, 'a'), undefined);
  assert.equal((await functions.verdict(tenant, older)).verdict, 'superseded');
  assert.equal(await payloadOf(tenant, 'a'), undefined);
  assert.equal((await functions.verdict(tenant, b.put('a', 3, { base: gone.version }))).verdict, 'applied');
  assert.equal(await payloadOf(tenant, 'a'), 3);
});

test('create, delete and create again in one batch', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const first = device.put('a', 1);
  const gone = device.delete('a', { base: first.version });
  const again = device.put('a', 2, { base: gone.version });
  const verdicts = await functions.verdicts(tenant, [first, gone, again]);
  assert.deepEqual(
    verdicts.map(({ verdict }) => verdict),
    ['applied', 'applied', 'applied'],
  );
  assert.equal(await payloadOf(tenant, 'a'), 2);
});

test('an edit whose base is gone is logged as a conflict and written as a new record', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const conflicts = functions.telemetry.sum('conflicts');
  const orphan = device.put('a', 1, { base: new Device().version(Date.now() - 1_000) });
  assert.equal((await functions.verdict(tenant, orphan)).verdict, 'applied');
  assert.equal(await payloadOf(tenant, 'a'), 1);
  assert.equal(functions.telemetry.sum('conflicts'), conflicts + 1);
  assert.match(functions.telemetry.warnings.at(-1) ?? '', /base of an edit is gone/);
});

test('a chain stops at its first deferred operation; other keys go on', async () => {
  const [tenant, a, b] = [newTenant(), new Device(), new Device()];
  await functions.verdict(tenant, a.put('a', 0));
  const alone = new Functions({ running, wrap: withoutReplicas });
  const verdicts = await alone.verdicts(tenant, [b.put('a', 1), b.put('b', 1), b.put('a', 2), b.put('a', 3)]);
  assert.deepEqual(
    verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
    ['no_quorum', 'applied', 'predecessor', 'predecessor'],
  );
  alone.close();
});

test('a chain stops at a rejected operation and at one that is clock_ahead', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const verdicts = await functions.verdicts(tenant, [
    device.put('a', 'x'.repeat(300_000)),
    device.put('a', 1),
    { ...device.put('b', 1), version: new Device().version(Date.now() + CLOCK_AHEAD_MS_MAX + 60_000) },
    device.put('b', 2),
    device.put('c', 1),
  ]);
  assert.deepEqual(
    verdicts.map((it) => ('reason' in it ? it.reason : it.verdict)),
    ['too_large', 'predecessor', 'clock_ahead', 'predecessor', 'applied'],
  );
  assert.equal(await payloadOf(tenant, 'a'), undefined);
});

test('a version over 60 s ahead is clock_ahead with the server’s time; one under it is taken', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const ahead = {
    ...device.put('a', 1),
    version: new Device().version(Date.now() + CLOCK_AHEAD_MS_MAX + 5_000),
  };
  const verdict = await functions.verdict(tenant, ahead);
  assert.ok(verdict.verdict === 'clock_ahead');
  assert.equal(verdict.version, undefined);
  assert.ok(Math.abs(verdict.serverTimeMs - Date.now()) < 5_000);
  assert.equal(await stored(tenant, 'a'), undefined);
  const inTime = { ...ahead, version: device.version(Date.now() + CLOCK_AHEAD_MS_MAX - 5_000) };
  assert.equal((await functions.verdict(tenant, inTime)).verdict, 'applied');
});

test('a version 90 days old is too_old, a replayed one only after 92', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const aged = (days: number) => new Device().version(Date.now() - days * DAY_MS);
  const reasonOf = async (over: object) => {
    const verdict = await functions.verdict(tenant, { ...device.put('a', 1), ...over });
    return 'reason' in verdict ? verdict.reason : verdict.verdict;
  };
  assert.equal(await reasonOf({ version: aged(90.1) }), 'too_old');
  assert.equal(await reasonOf({ version: aged(92.1), replayed: true }), 'too_old');
  assert.equal(await reasonOf({ version: aged(91), replayed: true }), 'applied');
  assert.equal(OPERATION_AGE_MS_MAX, 90 * DAY_MS);
});

test('an operation that was settled is a duplicate, even when it looks too old or too early by now', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const operation = device.put('a', 1);
  await functions.verdict(tenant, operation);
  const later = new Functions({ running });
  later.offsetMs = 100 * DAY_MS;
  assert.equal((await later.verdict(tenant, operation)).verdict, 'duplicate');
  later.offsetMs = -DAY_MS;
  assert.equal((await later.verdict(tenant, operation)).verdict, 'duplicate');
  later.close();
});

test('a refusal is tried again under a new stamp, and one that lasts is deferred', async () => {
  const stamps: Version[] = [];
  let refusals = 2;
  const refusing = new Functions({
    running,
    wrap: (store: Store) => ({
      ...store,
      write(write) {
        stamps.push(write.commitVersion);
        refusals -= 1;
        if (refusals < 0) return store.write(write);
        throw new StoreUnavailableError('refused', { retryable: true, mayHaveLanded: false });
      },
    }),
  });
  const [tenant, device] = [newTenant(), new Device()];
  assert.equal((await refusing.verdict(tenant, device.put('a', 1))).verdict, 'applied');
  assert.equal(stamps.length, 3);
  assert.deepEqual(stamps, [...new Set(stamps)].sort());
  assert.equal(refusing.telemetry.sum('store_retries'), 2);
  refusals = Number.POSITIVE_INFINITY;
  const verdict = await refusing.verdict(tenant, device.put('b', 1));
  assert.equal('reason' in verdict && verdict.reason, 'store_unavailable');
  assert.equal(refusing.telemetry.sum('sync_failures'), 1);
  refusing.close();
});

test('an attempt that timed out is not repeated; when it landed after all the next send is a duplicate', async () => {
  let writes = 0;
  const losing = new Functions({
    running,
    wrap: (store) => ({
      ...store,
      async write(write) {
        writes += 1;
        await store.write(write);
        throw new StoreUnavailableError('no answer', { retryable: false, mayHaveLanded: true });
      },
    }),
  });
  const [tenant, device] = [newTenant(), new Device()];
  const operation = device.put('a', 1);
  assert.equal((await losing.verdict(tenant, operation)).verdict, 'deferred');
  assert.equal(writes, 1);
  assert.equal((await functions.verdict(tenant, operation)).verdict, 'duplicate');
  losing.close();
});

test('what cannot be read of one record defers that one, logs it, and leaves the others alone', async () => {
  const [tenant, device] = [newTenant(), new Device()];
  const { pk, sk } = { pk: `R#${tenant}#notes#a`, sk: 'STATE' };
  await functions.putControl({ pk, sk }, { version: { S: 'no version' } });
  const verdicts = await functions.verdicts(tenant, [device.put('a', 1), device.put('b', 1)]);
  assert.deepEqual(
    verdicts.map(({ verdict }) => verdict),
    ['deferred', 'applied'],
  );
  assert.match(functions.telemetry.errors.at(-1) ?? '', /cannot be settled/);
});

test('counts operations, verdicts and failures', async () => {
  const fresh = new Functions({ running });
  const [tenant, device] = [newTenant(), new Device()];
  const first = device.put('a', 1);
  await fresh.verdicts(tenant, [first, first, device.put('b', 'x'.repeat(300_000))]);
  const { telemetry } = fresh;
  assert.deepEqual(
    ['requests', 'errors', 'sync_batch_size', 'sync_operations', 'sync_failures', 'sync_applied'].map(
      (name) => telemetry.sum(name),
    ),
    [1, 0, 3, 3, 0, 1],
  );
  assert.equal(telemetry.sum('sync_duplicate') + telemetry.sum('sync_rejected'), 2);
  fresh.close();
});
