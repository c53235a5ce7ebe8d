// Buckets as they age: what lifecycle rules have due, a year of backups played day by day, locks that hold, content
// that rots and a bucket that does not answer. Time is given, so that nothing here waits.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { bucketsOf } from '../../rehearsal/aws/s3/buckets.ts';
import { type Aged, dueActions, lifecycleOf, midnightAfter } from '../../rehearsal/aws/s3/lifecycle.ts';
import { S3 } from '../../rehearsal/aws/s3/s3.ts';
import { ServiceError } from '../../rehearsal/aws/service-error.ts';
import { deploymentOf, PRIMARY, resource } from './fake-deployment.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.parse('2026-01-01T00:00:00Z');

const rules = (...Rules: readonly object[]) =>
  lifecycleOf(
    resource('AWS::S3::Bucket', {
      LifecycleConfiguration: { Rules: Rules.map((rule) => ({ Status: 'Enabled', ...rule })) },
    }),
  );
const aged = (ageMs: number, more: Partial<Aged> = {}): Aged => ({
  id: `v${ageMs}`,
  isMarker: false,
  bytes: 1_000_000,
  modifiedAt: START - ageMs,
  lockedUntil: undefined,
  storageClass: 'STANDARD',
  ...more,
});
const due = (rule: object, ...versions: readonly Aged[]) =>
  dueActions(rules(rule), 'hourly/a', versions, START);

describe('what is due', () => {
  test('an age counts from the midnight after it', () => {
    const made = Date.parse('2014-01-15T10:30:00Z');
    assert.equal(midnightAfter(made, 3), Date.parse('2014-01-19T00:00:00Z'));
    assert.deepEqual(due({ ExpirationInDays: 7 }, aged(7 * DAY + 1)), [{ kind: 'expire' }]);
    assert.deepEqual(due({ ExpirationInDays: 7 }, aged(7 * DAY)), [], 'made at midnight: a day later');
    assert.deepEqual(due({ ExpirationDate: '2026-01-01T00:00:00Z' }, aged(1)), [{ kind: 'expire' }]);
    assert.deepEqual(due({ ExpirationDate: '2026-01-02T00:00:00Z' }, aged(1)), []);
  });

  test('a rule speaks of its prefix and sizes, while it is on', () => {
    const old = aged(9 * DAY);
    for (const rule of [
      { Prefix: 'daily/' },
      { Status: 'Disabled' },
      { ObjectSizeGreaterThan: 1_000_000 },
      { ObjectSizeLessThan: 1_000_000 },
      { TagFilters: [{ Key: 'a', Value: 'b' }] },
    ])
      assert.deepEqual(due({ ExpirationInDays: 7, ...rule }, old), [], JSON.stringify(rule));
    assert.deepEqual(due({ ExpirationInDays: 7, Prefix: 'hourly/' }, old), [{ kind: 'expire' }]);
  });

  test('expiring never touches what is noncurrent, and nothing under a marker', () => {
    const [marker, old] = [aged(DAY, { isMarker: true }), aged(99 * DAY)];
    assert.deepEqual(due({ ExpirationInDays: 7 }, marker, old), []);
    assert.deepEqual(due({ ExpirationInDays: 7 }, aged(DAY), old), []);
  });

  test('a noncurrent version goes by when it was replaced, save those that are to be kept', () => {
    const versions = [aged(2 * DAY), aged(30 * DAY), aged(60 * DAY), aged(90 * DAY, { isMarker: true })];
    const removed = (rule: object) =>
      due({ NoncurrentVersionExpiration: rule }, ...versions).map((action) =>
        action.kind === 'remove' ? versions.findIndex(({ id }) => id === action.versionId) : action,
      );
    assert.deepEqual(removed({ NoncurrentDays: 1 }), [1, 2, 3]);
    assert.deepEqual(removed({ NoncurrentDays: 2 }), [2, 3]);
    assert.deepEqual(removed({ NoncurrentDays: 1, NewerNoncurrentVersions: 2 }), [3]);
    assert.deepEqual(due({ NoncurrentVersionExpirationInDays: 60 }, ...versions), []);
  });

  test('a locked version stays until its lock is over, and a marker is made over it all the same', () => {
    const locked = aged(9 * DAY, { lockedUntil: START + 1 });
    const rule = { ExpirationInDays: 7, NoncurrentVersionExpiration: { NoncurrentDays: 1 } };
    assert.deepEqual(due(rule, locked), [{ kind: 'expire' }]);
    assert.deepEqual(due(rule, aged(3 * DAY, { isMarker: true }), locked), []);
    const over = { ...locked, lockedUntil: START };
    assert.deepEqual(due(rule, aged(3 * DAY, { isMarker: true }), over), [
      { kind: 'remove', versionId: over.id },
    ]);
  });

  test('a lone marker goes at once by its own rule, or at the age of expiration', () => {
    const marker = aged(HOUR, { isMarker: true });
    const gone = [{ kind: 'remove', versionId: marker.id }];
    assert.deepEqual(due({ ExpiredObjectDeleteMarker: true }, marker), gone);
    assert.deepEqual(due({ ExpiredObjectDeleteMarker: true }, marker, aged(DAY)), []);
    assert.deepEqual(due({ ExpirationInDays: 7 }, marker), []);
    assert.equal(due({ ExpirationInDays: 7 }, aged(9 * DAY, { isMarker: true })).length, 1);
  });

  test('objects move down classes, small ones only where a rule speaks of sizes, and never back', () => {
    const Transitions = [
      { StorageClass: 'DEEP_ARCHIVE', TransitionInDays: 90 },
      { StorageClass: 'STANDARD_IA', TransitionInDays: 30 },
    ];
    const classAt = (days: number, more: Partial<Aged> = {}, rule: object = {}) =>
      due({ Transitions, ...rule }, aged(days * DAY, more)).map((action) =>
        action.kind === 'transition' ? action.storageClass : action.kind,
      );
    assert.deepEqual(classAt(29), []);
    assert.deepEqual(classAt(40), ['STANDARD_IA']);
    assert.deepEqual(classAt(99), ['DEEP_ARCHIVE']);
    assert.deepEqual(classAt(40, { storageClass: 'DEEP_ARCHIVE' }), []);
    assert.deepEqual(classAt(99, { bytes: 1_000 }), []);
    assert.deepEqual(classAt(99, { bytes: 1_000 }, { ObjectSizeGreaterThan: 0 }), ['DEEP_ARCHIVE']);
    assert.deepEqual(classAt(99, {}, { ExpirationInDays: 90 }), ['expire']);
  });

  test('what S3 would refuse is refused', () => {
    for (const rule of [
      { ExpirationInDays: 1, ExpiredObjectDeleteMarker: true },
      { ExpirationInDays: 1.5 },
      { ExpirationDate: '2026-01-01T12:00:00Z' },
      { NoncurrentVersionExpiration: { NoncurrentDays: -1 } },
    ])
      assert.throws(() => rules({ Id: 'odd', ...rule }), /BucketA: lifecycle rule odd: /);
  });

  test('a locked version is never removed, whatever the rules', () => {
    const age = fc.integer({ min: 0, max: 400 * DAY });
    const version = fc.record({ age, isMarker: fc.boolean(), locked: fc.integer({ min: -DAY, max: DAY }) });
    const rule = fc.record({
      ExpirationInDays: fc.integer({ min: 1, max: 400 }),
      NoncurrentVersionExpirationInDays: fc.integer({ min: 1, max: 400 }),
    });
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 3 }), fc.array(version, { maxLength: 6 }), (given, list) => {
        const versions = list
          .toSorted((a, b) => a.age - b.age)
          .map(({ age, isMarker, locked }, at) =>
            aged(age, { id: `${at}`, isMarker, lockedUntil: isMarker ? undefined : START + locked }),
          );
        for (const action of dueActions(rules(...given), 'k', versions, START)) {
          if (action.kind !== 'remove') continue;
          const gone = versions.find(({ id }) => id === action.versionId);
          assert.ok(gone && (gone.lockedUntil ?? 0) <= START);
        }
      }),
    );
  });
});

describe('a bucket', () => {
  const opened: S3[] = [];
  after(() => Promise.all(opened.map((s3) => s3.close())));

  async function open(properties: object) {
    let nowMs = START;
    const bucket = resource('AWS::S3::Bucket', { ...properties }, { physicalId: 'backups' });
    const s3 = await S3.open(bucketsOf(deploymentOf(bucket)), { now: () => nowMs });
    opened.push(s3);
    const call = async (method: string, url: string, body = '', headers: Record<string, string> = {}) =>
      s3.call({
        request: { method, url, headers, body: Buffer.from(body) },
        region: PRIMARY,
        authorize: () => undefined,
      });
    return {
      s3,
      call,
      set: (ms: number) => {
        nowMs = ms;
      },
      put: (key: string, body = 'x') => call('PUT', `/backups/${key}`, body, { 'content-md5': md5Of(body) }),
      keys: async () => namesIn(String((await call('GET', '/backups?list-type=2')).body)),
      versions: async () => String((await call('GET', '/backups?versions')).body),
    };
  }
  const md5Of = (body: string) => hash('md5', body, 'base64');
  const namesIn = (xml: string) => [...xml.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => String(key));
  const locked = (Days: number) => ({
    ObjectLockEnabled: true,
    ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'COMPLIANCE', Days } } },
  });
  const tier = (Prefix: string, ExpirationInDays: number) => ({
    Id: Prefix,
    Status: 'Enabled',
    Prefix,
    ExpirationInDays,
    NoncurrentVersionExpiration: { NoncurrentDays: 1 },
  });
  const markers = { Id: 'markers', Status: 'Enabled', ExpiredObjectDeleteMarker: true };
  const LifecycleConfiguration = {
    Rules: [tier('hourly/', 7), tier('daily/', 30), tier('weekly/', 365), markers],
  };

  test('a year of backups: on any day exactly those of the policy, and nothing left behind them', async () => {
    const { s3, set, put, keys, versions } = await open({ ...locked(7), LifecycleConfiguration });
    const started = performance.now();
    for (let day = 0; day < 366; day += 1) {
      const at = START + day * DAY;
      const date = new Date(at).toISOString().slice(0, 10);
      for (const hour of [1, 13]) {
        set(at + hour * HOUR);
        await put(`hourly/${date}T${String(hour).padStart(2, '0')}Z/a`);
      }
      await put(`daily/${date}/a`);
      if (day % 7 === 0) await put(`weekly/${date}/a`);
      if (![0, 6, 8, 40, 365].includes(day)) continue;
      const expected = [
        ...[...Array(day + 1).keys()].filter((made) => day - made <= 7).flatMap(() => ['hourly', 'hourly']),
        ...[...Array(day + 1).keys()].filter((made) => day - made <= 30).map(() => 'daily'),
        ...[...Array(day + 1).keys()].filter((made) => made % 7 === 0).map(() => 'weekly'),
      ];
      const found = (await keys()).map((key) => key.split('/')[0]);
      assert.deepEqual(found.sort(), expected.sort(), `day ${day}`);
    }
    await s3.tick(START + 800 * DAY);
    assert.doesNotMatch(await versions(), /<Version>|<DeleteMarker>/);
    assert.ok(performance.now() - started < 10_000, 'a year takes seconds');
  });

  test('an object locked beyond its tier is hidden when its time is over, and freed when its lock is', async () => {
    const { s3, put, set, keys, versions } = await open({ ...locked(20), LifecycleConfiguration });
    set(START + HOUR);
    await put('hourly/a');
    await s3.tick(START + 7 * DAY);
    assert.deepEqual(await keys(), ['hourly/a']);
    await s3.tick(START + 8 * DAY);
    assert.deepEqual(await keys(), []);
    await s3.tick(START + 20 * DAY);
    assert.match(await versions(), /<DeleteMarker>.*<Version>/);
    await s3.tick(START + 21 * DAY);
    assert.doesNotMatch(await versions(), /<Version>/);
  });

  test('without a rule for them, versions and markers are never freed', async () => {
    const Rules = [{ Status: 'Enabled', ExpirationInDays: 1 }];
    const { s3, put, versions } = await open({
      VersioningConfiguration: { Status: 'Enabled' },
      LifecycleConfiguration: { Rules },
    });
    await put('a');
    await s3.tick(START + 999 * DAY);
    assert.match(await versions(), /<DeleteMarker>.*<Version>/);
  });

  test('without versions an object goes for good', async () => {
    const Rules = [{ Status: 'Enabled', ExpirationInDays: 1 }];
    const { s3, put, versions } = await open({ LifecycleConfiguration: { Rules } });
    await put('a');
    await s3.tick(START + 2 * DAY);
    assert.doesNotMatch(await versions(), /<Key>/);
  });

  test('a tick back in time, or one that was there, does nothing', async () => {
    const { s3, put, keys } = await open({ LifecycleConfiguration });
    await put('hourly/a');
    await Promise.all([s3.tick(START), s3.tick(START - 9 * DAY), s3.tick(START + DAY / 2)]);
    assert.deepEqual(await keys(), ['hourly/a']);
  });

  test('an archived object is listed, and cannot be read', async () => {
    const Transitions = [{ StorageClass: 'DEEP_ARCHIVE', TransitionInDays: 1 }];
    const Rules = [{ Status: 'Enabled', ObjectSizeGreaterThan: 0, Transitions }];
    const { s3, put, call } = await open({ LifecycleConfiguration: { Rules } });
    await put('a');
    await s3.tick(START + 2 * DAY);
    assert.match(String((await call('GET', '/backups?list-type=2')).body), /DEEP_ARCHIVE/);
    assert.equal((await call('HEAD', '/backups/a')).headers?.['x-amz-storage-class'], 'DEEP_ARCHIVE');
    await assert.rejects(call('GET', '/backups/a'), { name: 'InvalidObjectState', status: 403 });
  });

  test('rotten content comes under the entity tag and checksums of before', async () => {
    const { s3, call } = await open({});
    await call('PUT', '/backups/a', 'hello world', {
      'x-amz-checksum-sha256': hash('sha256', 'hello world', 'base64'),
      'x-amz-meta-a': 'b',
    });
    const read = () => call('GET', '/backups/a', '', { 'x-amz-checksum-mode': 'ENABLED' });
    const before = await read();
    await s3.rot('backups', 'a', 4);
    const rotten = await read();
    assert.notEqual(String(rotten.body), 'hello world');
    assert.equal(rotten.body[4], 'o'.charCodeAt(0) ^ 0xff);
    for (const name of ['etag', 'x-amz-checksum-sha256', 'x-amz-meta-a', 'content-length'])
      assert.equal(rotten.headers?.[name], before.headers?.[name], name);
    assert.equal((await call('GET', '/backups/a')).headers?.['x-amz-checksum-sha256'], undefined);
    await s3.rot('backups', 'a', 4);
    assert.equal(String((await read()).body), 'hello world', 'the same byte again is the byte of before');
    await assert.rejects(s3.rot('backups', 'a', 99), RangeError);
    await assert.rejects(s3.rot('backups', 'none', 0), RangeError);
    await assert.rejects(s3.rot('none', 'a', 0), RangeError);
  });

  test('a bucket that is unavailable answers 503, and has everything when it is back', async () => {
    const { s3, put, keys } = await open({});
    await put('a');
    s3.setAvailable('backups', false);
    await assert.rejects(
      keys(),
      (error) => error instanceof ServiceError && error.status === 503 && error.name === 'ServiceUnavailable',
    );
    s3.setAvailable('backups', true);
    assert.deepEqual(await keys(), ['a']);
    assert.throws(() => s3.setAvailable('none', false), RangeError);
  });
});
