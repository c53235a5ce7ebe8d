// The archiver: what a batch of the stream leaves in the bucket and in the item, whatever fails on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { archivableOf } from '../../lambdas/core/archiving.ts';
import { sha256Of } from '../../lambdas/core/canonical.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { losingPayloadKey } from '../../protocol/audit.ts';
import { recordPk } from '../../protocol/items.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { Archiver, imageOf, T } from './archiver-environment.ts';
import { type TrailEntry, trailOf, versionAt } from './audit-trail.ts';
import { REGIONS } from './functions.ts';
import { activeIn } from './who-is-active.ts';

const NOTE: RecordKey = { tenant: 'acme', collection: 'notes', id: 'n1' };
const OTHER: RecordKey = { ...NOTE, id: 'n2' };
const busy = () => new StoreUnavailableError('busy', { retryable: true, mayHaveLanded: false });

const keysOf = (trail: readonly TrailEntry[]) => trail.map(({ key }) => key);

test('archives every entry of an outbox under its sequence and hash, then trims it', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 3);
  assert.deepEqual(await archiver.deliver([imageOf(trail, 5)]), []);
  assert.deepEqual(
    [...archiver.own.objects],
    trail.map(({ key, text }) => [key, text]),
  );
  assert.deepEqual(archiver.trims, [{ record: NOTE, commitVersion: versionAt(5), outbox: [] }]);
  assert.equal(archiver.telemetry.sum('audit_archived'), 3);
  assert.equal(archiver.telemetry.sum('audit_failures'), 0);
});

test('a duplicate delivery puts nothing twice, not even into a bucket that has it, and trims again', async () => {
  const archiver = new Archiver();
  const image = imageOf(trailOf(NOTE, 2), 5);
  await archiver.deliver([image]);
  await archiver.deliver([image, image]);
  assert.equal(archiver.puts().length, 2);
  archiver.restart();
  await archiver.deliver([image]);
  assert.equal(archiver.own.objects.size, 2, 'what stands there stays');
  assert.equal(archiver.trims.length, 3, 'once a batch: only the last image can be the present one');
});

test('images out of order archive the same, and each trims only under its own commit version', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 3);
  archiver.trim = async ({ commitVersion }) => commitVersion === versionAt(7);
  await archiver.deliver([imageOf(trail, 7)]);
  await archiver.deliver([imageOf(trail.slice(0, 1), 5)]);
  await archiver.deliver([imageOf(trail.slice(0, 2), 6)]);
  assert.deepEqual([...archiver.own.objects.keys()], keysOf(trail));
  assert.deepEqual(
    archiver.trims.map(({ commitVersion }) => commitVersion),
    [versionAt(7), versionAt(5), versionAt(6)],
  );
});

test('a trim that lost to a later write is left to the image of that write', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 2);
  archiver.trim = async () => false;
  assert.deepEqual(await archiver.deliver([imageOf(trail.slice(0, 1), 5)]), []);
  await archiver.deliver([imageOf(trail, 6)]);
  assert.equal(archiver.trims.at(-1)?.commitVersion, versionAt(6));
  assert.equal(archiver.waits, 0);
});

test('a busy table is asked thrice to trim, and then left alone: archiving goes on', async () => {
  const archiver = new Archiver();
  archiver.trim = () => Promise.reject(busy());
  assert.deepEqual(await archiver.deliver([imageOf(trailOf(NOTE, 1), 5), imageOf(trailOf(OTHER, 1), 6)]), []);
  assert.equal(archiver.trims.length, 6);
  assert.equal(archiver.own.objects.size, 2);
  assert.equal(archiver.telemetry.warnings.filter((line) => /could not be trimmed/.test(line)).length, 2);
});

test('only the active region trims, under no older epoch than before; archiving does not ask who that is', async () => {
  const leaving = { draining: { to: REGIONS.standby, since: T } };
  for (const [routing, recorded, trims] of [
    [async () => undefined, 0, 1],
    [async () => activeIn(REGIONS.primary, 3), 3, 1],
    [async () => activeIn(REGIONS.primary, 3), 4, 0],
    [async () => activeIn(REGIONS.primary, 3, leaving), 2, 0],
    [async () => activeIn(REGIONS.standby, 3), 2, 0],
    [() => Promise.reject(busy()), 0, 0],
  ] as const) {
    const archiver = new Archiver();
    archiver.routing = routing;
    archiver.jobs.entries.set('trim', { epoch: recorded, region: REGIONS.standby, at: T });
    assert.deepEqual(await archiver.deliver([imageOf(trailOf(NOTE, 1), 5)]), []);
    assert.deepEqual([archiver.trims.length, archiver.own.objects.size], [trims, 1]);
  }
});

test('a table that is being restored is not written to', async () => {
  const archiver = new Archiver();
  archiver.status = 'restoring';
  await archiver.deliver([imageOf(trailOf(NOTE, 1), 5)]);
  assert.deepEqual([archiver.trims.length, archiver.own.objects.size], [0, 1]);
});

test('a bucket that is down gives back the record that failed, untrimmed, and not the others', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 3);
  archiver.own.down = (call) => call === `put ${trail[1]?.key}`;
  const images = [imageOf(trail, 5), imageOf(trailOf(OTHER, 1), 6), imageOf(trail, 7)];
  assert.deepEqual(await archiver.deliver(images), ['100'], 'the stream goes back to it and to all after it');
  assert.deepEqual(
    archiver.trims.map(({ record }) => record),
    [OTHER],
  );
  assert.equal(archiver.telemetry.sum('audit_failures'), 1);
  archiver.own.down = () => false;
  assert.deepEqual(await archiver.deliver(images), []);
  assert.deepEqual(
    archiver.puts().filter((key) => key === trail[0]?.key).length,
    1,
    'what went in before is known',
  );
  assert.equal(archiver.own.objects.size, 4);
  assert.equal(archiver.trims.length, 3);
});

const LARGE = JSON.stringify({ text: 'x'.repeat(20_000) });
const LARGE_KEY = losingPayloadKey('acme', sha256Of(LARGE));
const inStandby = () => trailOf(NOTE, 1, { region: REGIONS.standby, elsewhere: { 1: LARGE } });

test('a losing payload that is not in its entry is copied from the deciding region, after the entry', async () => {
  const archiver = new Archiver();
  archiver.standby.objects.set(LARGE_KEY, LARGE);
  const [only] = inStandby();
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)]), []);
  assert.deepEqual(archiver.puts(), [only?.key, LARGE_KEY]);
  assert.equal(archiver.own.objects.get(LARGE_KEY), LARGE);
  assert.deepEqual(archiver.quorum.calls, []);
});

test('a payload that is here already is not fetched; one of this region was put here before the decision', async () => {
  const archiver = new Archiver();
  archiver.own.objects.set(LARGE_KEY, LARGE);
  await archiver.deliver([imageOf(trailOf(NOTE, 1, { elsewhere: { 1: LARGE } }), 5)]);
  assert.deepEqual([...archiver.standby.calls, ...archiver.quorum.calls], []);
});

test('with the deciding region down, another that has the payload will do', async () => {
  const archiver = new Archiver();
  archiver.standby.down = () => true;
  archiver.quorum.objects.set(LARGE_KEY, LARGE);
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)]), []);
  assert.equal(archiver.own.objects.get(LARGE_KEY), LARGE);
});

test('a damaged copy of a payload is not spread', async () => {
  const archiver = new Archiver();
  archiver.standby.objects.set(LARGE_KEY, `${LARGE} `);
  archiver.quorum.objects.set(LARGE_KEY, LARGE);
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)]), []);
  assert.equal(archiver.own.objects.get(LARGE_KEY), LARGE);
});

test('a payload that cannot be had gives the record back, its entry archived and nothing trimmed', async () => {
  const archiver = new Archiver();
  archiver.standby.down = () => true;
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)]), ['100']);
  assert.deepEqual([...archiver.own.objects.keys()], keysOf(inStandby()));
  assert.equal(archiver.trims.length, 0);
  archiver.standby.down = () => false;
  archiver.standby.objects.set(LARGE_KEY, LARGE);
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)]), []);
  assert.equal(archiver.own.objects.get(LARGE_KEY), LARGE);
  assert.equal(archiver.trims.length, 1);
});

test('a region that is gone for good holds the stream up for a quarter of an hour, and no longer', async () => {
  const archiver = new Archiver();
  archiver.standby.down = () => true;
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)], 15 * 60_000), ['100']);
  assert.deepEqual(await archiver.deliver([imageOf(inStandby(), 5)], 15 * 60_000 + 1_000), []);
  assert.equal(archiver.telemetry.sum('audit_failures'), 2);
  assert.ok(archiver.telemetry.errors.some((line) => line.startsWith('a losing payload stays where')));
});

test('entries this region never got are brought from a peer, back to the first that is here', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 9, { region: REGIONS.standby, elsewhere: { 5: LARGE } });
  for (const { key, text } of trail.slice(0, 3)) archiver.own.objects.set(key, text);
  for (const { key, text } of trail) archiver.quorum.objects.set(key, text);
  archiver.standby.objects.set(LARGE_KEY, LARGE);
  assert.deepEqual(await archiver.deliver([imageOf(trail.slice(8), 5)]), []);
  assert.deepEqual([...archiver.own.objects.keys()].sort(), [...keysOf(trail), LARGE_KEY].sort());
  const got = archiver.own.calls.filter((call) => call.startsWith('get audit/'));
  assert.equal(got.length, 6, 'it stops at the third, which is here');
  await archiver.deliver([imageOf(trail.slice(8), 6)]);
  assert.equal(archiver.own.calls.filter((call) => call.startsWith('get audit/')).length, 6);
});

test('entries that came trimmed, whose outbox no image here ever held, are brought from a peer', async () => {
  const trail = trailOf(NOTE, 3, { region: REGIONS.standby });
  const trimmed = (of: readonly TrailEntry[], commitMs: number) => {
    const { outbox, ...image } = imageOf(of, commitMs);
    return image;
  };
  const first = trail.slice(0, 1);
  for (const [what, OldImage, brought] of [
    ['the head is another', imageOf(first, 1), trail.slice(1)],
    ['the head is another, which was trimmed too', trimmed(first, 1), trail.slice(1)],
    ['there was none', { pk: { S: recordPk(NOTE) } }, trail.slice(1)],
    ['there was no item', undefined, trail.slice(1)],
    ['the head is the same: a trim', imageOf(trail, 1), []],
  ] as const) {
    const archiver = new Archiver();
    for (const { entry, hash, text } of first) await archiver.own.archive(NOTE, entry.sequence, hash, text);
    for (const { key, text } of trail) archiver.standby.objects.set(key, text);
    const change = { SequenceNumber: '1', NewImage: trimmed(trail, 2), ...(OldImage && { OldImage }) };
    assert.deepEqual(await archiver.run({ Records: [{ dynamodb: change }] }), { batchItemFailures: [] });
    assert.deepEqual(archiver.puts().slice(1).sort(), keysOf(brought), what);
    assert.deepEqual(archiver.trims, [], 'there is nothing to trim');
  }
});

test('a gap goes on being filled when its peers answer again, and fails no batch', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 4);
  for (const { key, text } of trail) archiver.standby.objects.set(key, text);
  archiver.standby.down = () => true;
  archiver.quorum.down = () => true;
  assert.deepEqual(await archiver.deliver([imageOf(trail.slice(3), 5)]), []);
  assert.deepEqual([...archiver.own.objects.keys()], [trail[3]?.key]);
  assert.ok(
    archiver.telemetry.warnings.some((line) => line.startsWith('a gap in the audit trail stays open')),
  );
  archiver.standby.down = () => false;
  archiver.quorum.down = () => false;
  await archiver.deliver([imageOf(trailOf(OTHER, 1), 6)]);
  for (const { key } of trail) assert.ok(archiver.own.objects.has(key), key);
});

test('a gap whose payload cannot be had yet is followed back all the same, and gets its payload when it can', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 4, { region: REGIONS.standby, elsewhere: { 3: LARGE } });
  for (const { key, text } of trail) archiver.quorum.objects.set(key, text);
  archiver.standby.objects.set(LARGE_KEY, LARGE);
  archiver.standby.down = () => true;
  assert.deepEqual(await archiver.deliver([imageOf(trail.slice(3), 5)]), []);
  assert.deepEqual([...archiver.own.objects.keys()].sort(), [...keysOf(trail)].sort());
  archiver.standby.down = () => false;
  await archiver.deliver([imageOf(trailOf(OTHER, 1), 6)]);
  assert.equal(archiver.own.objects.get(LARGE_KEY), LARGE);
});

test('a gap longer than one invocation may fill goes on in the next', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 450);
  for (const { key, text } of trail) archiver.standby.objects.set(key, text);
  const held: number[] = [];
  for (let batch = 0; batch < 4; batch += 1) {
    await archiver.deliver([imageOf(trail.slice(449), 5)]);
    held.push(archiver.own.objects.size);
  }
  assert.deepEqual(held, [201, 401, 450, 450]);
});

test('an entry that no region has is an error once, and the walk ends', async () => {
  const archiver = new Archiver();
  const trail = trailOf(NOTE, 3);
  const wrong = trail[1]?.key ?? '';
  archiver.standby.objects.set(wrong, 'not what hashes to its name');
  await archiver.deliver([imageOf(trail.slice(2), 5)]);
  await archiver.deliver([imageOf(trail.slice(2), 5)]);
  assert.equal(archiver.telemetry.errors.length, 1);
  assert.match(archiver.telemetry.errors[0] ?? '', /in no region's bucket/);
  assert.deepEqual([...archiver.own.objects.keys()], [trail[2]?.key]);
});

test('what is no entry is archived all the same, by its place and hash', async () => {
  const archiver = new Archiver();
  const [first] = trailOf(NOTE, 1);
  const image = imageOf(first ? [{ ...first, text: '{"not":"an entry"}' }] : [], 5);
  assert.deepEqual(await archiver.deliver([image]), []);
  const [key] = [...archiver.own.objects.keys()];
  assert.equal(key, `audit/acme/notes/n1/0000000001-${sha256Of('{"not":"an entry"}')}`);
  assert.equal(archiver.trims.length, 1);
});

test('images that have nothing to archive are nothing to it', async () => {
  const archiver = new Archiver();
  const { outbox: _, ...trimmed } = imageOf(trailOf(NOTE, 1), 5);
  assert.equal(archivableOf(undefined), undefined);
  assert.equal(archivableOf(trimmed), undefined);
  assert.equal(archivableOf({ ...imageOf(trailOf(NOTE, 1), 5), pk: { S: 'CONTROL#routing' } }), undefined);
  const trim = { SequenceNumber: '1', OldImage: imageOf(trailOf(NOTE, 1), 5), NewImage: trimmed };
  assert.deepEqual(await archiver.run({ Records: [{}, { dynamodb: {} }, { dynamodb: trim }] }), {
    batchItemFailures: [],
  });
  assert.deepEqual([...archiver.own.calls, ...archiver.trims], []);
});

test('whatever is delivered, again and in any order, with a bucket failing now and then: every entry ends up there', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 6 })), {
          minLength: 1,
          maxLength: 6,
        }),
        {
          minLength: 1,
          maxLength: 6,
        },
      ),
      fc.infiniteStream(fc.boolean()),
      async (batches, refusals) => {
        const archiver = new Archiver();
        const trail = trailOf(NOTE, 6);
        const expected = new Set<string>();
        for (const batch of batches) {
          const images = batch.map(([from, length]) => trail.slice(from, from + length));
          for (const { key } of images.flat()) expected.add(key);
          archiver.own.down = (call) => call.startsWith('put') && refusals.next().value === true;
          const streamed = images.map((entries, index) => imageOf(entries, 10 + index));
          const failed = await archiver.deliver(streamed);
          // The stream begins again at the first that failed.
          archiver.own.down = () => false;
          const first = failed.length === 0 ? streamed.length : Number(failed.toSorted()[0]) - 100;
          assert.deepEqual(await archiver.deliver(streamed.slice(first)), []);
        }
        for (const key of expected) assert.ok(archiver.own.objects.has(key), key);
      },
    ),
    { numRuns: 60 },
  );
});
