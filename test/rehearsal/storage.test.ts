// What is done to stored data on orders: records damaged and lost behind everybody's back, a backup that rots, a bucket
// that answers nothing, records that are planted.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { contentOfExported } from '../../protocol/exported-records.ts';
import { recordPk, STATE } from '../../protocol/items.ts';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { Clock } from '../../rehearsal/aws/clock.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { type AttributeValue, type Item, parseRequest } from '../../rehearsal/aws/dynamodb/dynalite.ts';
import { TableHistory } from '../../rehearsal/aws/dynamodb/history.ts';
import type { ReplicatedTable } from '../../rehearsal/aws/dynamodb/replicated-table.ts';
import { obey } from '../../rehearsal/aws/orders.ts';
import { signed } from '../../rehearsal/aws/signature.ts';
import {
  checkPlanting,
  type Planting,
  plantedItem,
  plantedKey,
  plantedPayload,
} from '../../rehearsal/planting.ts';
import type { StorageOrder } from '../../rehearsal/supervisor/messages.ts';
import { FaultRefused } from '../../rehearsal/supervisor/region-runner.ts';
import type { RehearsalEvent } from '../../rehearsal/supervisor/state.ts';
import { StorageFaults } from '../../rehearsal/supervisor/storage.ts';
import { Timeline } from '../../rehearsal/supervisor/timeline.ts';
import {
  deploymentOf,
  keyArn,
  keys,
  PRIMARY,
  QUORUM,
  REGIONS,
  recordsTable,
  resource,
  STANDBY,
  TABLE,
} from './fake-deployment.ts';

const BUCKET = `eden-field-dev-backup-${PRIMARY}-000000000000`;
const bucket = resource(
  'AWS::S3::Bucket',
  {
    VersioningConfiguration: { Status: 'Enabled' },
    BucketEncryption: {
      ServerSideEncryptionConfiguration: [
        { ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: keyArn(PRIMARY) } },
      ],
    },
  },
  { physicalId: BUCKET, region: PRIMARY },
);
const PLANTING: Planting = { tenant: 'acme', collection: 'notes', records: 20, payloadBytes: 120 };
const keyOf = (n: number): Item => ({
  pk: { S: recordPk(plantedKey(PLANTING, n)) },
  sk: { S: STATE },
});
const nameOf = (n: number) => `acme/notes/planted-${String(n).padStart(7, '0')}`;

let aws: Aws;
const table = () => aws.tables.get(TABLE) as ReplicatedTable;
const order = (what: StorageOrder) => obey(aws, new Clock(), what);

before(async () => {
  aws = await startAws({
    deployment: deploymentOf(
      recordsTable({ StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' } }),
      bucket,
      ...keys(),
    ),
    refusalMs: 50,
    hangMs: 400,
  });
});
after(() => aws.close());

async function caughtUp(): Promise<void> {
  await Promise.all(REGIONS.map((region) => table().catchUp(region)));
}

async function store(key: string, body: string): Promise<Response> {
  const credentials = credentialsOf(OPERATOR, PRIMARY);
  const content = Buffer.from(body);
  const headers = {
    host: `127.0.0.1:${aws.port}`,
    'x-amz-content-sha256': hash('sha256', content, 'hex'),
  };
  const request = { method: 'PUT', url: `/${BUCKET}/${key}`, headers, body: content };
  const { host: _, ...rest } = signed(
    credentials,
    { region: PRIMARY, service: 's3', now: Date.now() },
    request,
  );
  return fetch(`${aws.endpoint}/${BUCKET}/${key}`, { method: 'PUT', headers: rest, body: content });
}

describe('planted records', () => {
  test('are what the service would have stored: canonical, hashed, in their place in the feed', () => {
    const planting = fc.record({
      tenant: fc.constantFrom('acme', 'a-b'),
      collection: fc.constantFrom('notes', 'X'),
      records: fc.constant(1_000_000),
      payloadBytes: fc.integer({ min: 40, max: 4_096 }),
    });
    const clock = fc.record({ ms: fc.nat(), counter: fc.integer({ min: 0, max: 0xffff }) });
    fc.assert(
      fc.property(planting, fc.nat(999_999), clock, (of, n, at) => {
        const item = plantedItem(of, n, at) as ExportedItem;
        const content = contentOfExported(item);
        assert.ok(content.kind === 'record', JSON.stringify(content));
        assert.deepEqual(content.record.key, plantedKey(of, n));
        const { payload = '', sha256 } = content.record.content ?? {};
        assert.equal(sha256, hash('sha256', payload, 'hex'));
        assert.equal(canonicalize(JSON.parse(payload)), payload);
        assert.equal(JSON.parse(payload).n, n);
        assert.ok(Math.abs(payload.length - of.payloadBytes) <= 1);
      }),
    );
  });

  test('are refused where no service would take them', () => {
    for (const [wrong, message] of [
      [{ tenant: 'Acme' }, /a tenant is like "acme", got "Acme"/],
      [{ collection: '1' }, /a collection is like "notes", got "1"/],
      [{ records: 0 }, /from 1 to 1000000, got 0/],
      [{ records: 1.5 }, /got 1.5/],
      [{ payloadBytes: 10 }, /payloadBytes: expected 40 to 4096, got 10/],
    ] as const)
      assert.throws(() => checkPlanting({ ...PLANTING, ...wrong }), { name: 'RangeError', message });
  });

  test('are written like any other: every replica, the stream and the history have them, in order', async () => {
    const heard: Item[] = [];
    const unsubscribe = table().subscribe(({ after: item }) => item && heard.push(item));
    const history = new TableHistory({ table: table(), recoveryDays: new Map([[PRIMARY, 35]]) });
    await order({ what: 'plant', table: TABLE, region: PRIMARY, planting: PLANTING });
    unsubscribe();
    await caughtUp();
    for (const region of REGIONS)
      for (const n of [0, 19])
        assert.equal(
          (await table().item(region, keyOf(n)))?.['payload']?.['S'],
          plantedPayload(PLANTING, n),
          `${n} in ${region}`,
        );
    assert.equal(heard.length, 20);
    const versions = heard.map((item) => String(item['commitVersion']?.['S']));
    assert.equal(new Set(versions).size, 20, 'no two have the same commit version');
    assert.equal([...history.at(PRIMARY, Date.now())].length, 20);
  });
});

describe('damage', () => {
  const whole = (item: Item | undefined): boolean =>
    hash('sha256', String(item?.['payload']?.['S']), 'hex') === item?.['sha256']?.['S'];

  test('is in every replica, under the hash that was, and no stream or history tells of it', async () => {
    const heard: unknown[] = [];
    const unsubscribe = table().subscribe((entry) => heard.push(entry));
    const history = new TableHistory({ table: table(), recoveryDays: new Map([[PRIMARY, 35]]) });
    assert.deepEqual(await order({ what: 'damage', table: TABLE, records: [plantedKey(PLANTING, 4)] }), [
      nameOf(4),
    ]);
    await caughtUp();
    unsubscribe();
    for (const region of REGIONS) {
      const item = await table().item(region, keyOf(4));
      assert.equal(whole(item), false, region);
      const { payload: _, ...rest } = item as Record<string, AttributeValue>;
      const { payload: __, ...before } = (await table().item(region, keyOf(5))) as Record<
        string,
        AttributeValue
      >;
      assert.deepEqual(Object.keys(rest).sort(), Object.keys(before).sort(), 'nothing else is changed');
      assert.equal(whole(await table().item(region, keyOf(5))), true);
    }
    assert.deepEqual(heard, []);
    assert.deepEqual([...history.at(PRIMARY, Date.now())], []);
  });

  test('of so many records is of as many whole ones as there are, and else of none', async () => {
    const names = await order({ what: 'damage', table: TABLE, records: 3 });
    assert.equal(new Set(names).size, 3);
    await assert.rejects(order({ what: 'damage', table: TABLE, records: 21 }), {
      name: 'RangeError',
      message: 'expected up to 20 records, as many as there are, got 21',
    });
    for (const count of [0, -1, 1.5, Number.NaN])
      await assert.rejects(order({ what: 'damage', table: TABLE, records: count }), RangeError);
  });

  test('of a record that is not there changes none of those asked for with it', async () => {
    const before = await table().item(QUORUM, keyOf(7));
    const missing = { ...plantedKey(PLANTING, 7), id: 'none' };
    await assert.rejects(
      order({ what: 'damage', table: TABLE, records: [plantedKey(PLANTING, 7), missing] }),
      {
        name: 'RangeError',
        message: 'acme/notes/none: expected a record with a payload, got none',
      },
    );
    await caughtUp();
    assert.deepEqual(await table().item(QUORUM, keyOf(7)), before);
  });

  test('is judged by whoever writes next, and a write over it makes it whole', async () => {
    await order({ what: 'damage', table: TABLE, records: [plantedKey(PLANTING, 9)] });
    const damaged = await table().read(PRIMARY, 'GetItem', { TableName: TABLE, Key: keyOf(9) }, true);
    const put = {
      TableName: TABLE,
      Item: plantedItem(PLANTING, 9, { ms: Date.now(), counter: 0 }),
      ConditionExpression: 'payload = :seen',
      ExpressionAttributeValues: { ':seen': (damaged['Item'] as Item)['payload'] },
    };
    await table().write(STANDBY, 'PutItem', parseRequest('PutItem', put), false);
    await caughtUp();
    for (const region of REGIONS) assert.equal(whole(await table().item(region, keyOf(9))), true, region);
  });

  test('reaches a region that is down once it is back', async () => {
    aws.links.setUp(STANDBY, false);
    await order({ what: 'damage', table: TABLE, records: [plantedKey(PLANTING, 11)] });
    assert.equal(whole(await table().item(STANDBY, keyOf(11))), true);
    aws.links.setUp(STANDBY, true);
    await caughtUp();
    assert.equal(whole(await table().item(STANDBY, keyOf(11))), false);
  });
});

describe('a backup that rots', () => {
  const file = (backup: string, name: string) =>
    `daily/${backup}/AWSDynamoDB/0${backup}-x/data/${name}.json.gz`;

  test('is the newest, its largest file, unless a key is given', async () => {
    await assert.rejects(order({ what: 'rot', bucket: BUCKET }), {
      name: 'RangeError',
      message: `${BUCKET} has no backup yet: expected an export's data file to rot`,
    });
    for (const [key, body] of [
      [file('2026-11-24', 'a'), 'x'.repeat(50)],
      ['daily/2026-11-24/backup.json', '{}'],
      [file('2026-11-25', 'small'), 'y'],
      [file('2026-11-25', 'large'), 'zzzzz'],
      ['journal/2026-11-25T00Z/x.ndjson.gz', 'later than all, and no backup'],
    ] as const) {
      assert.equal((await store(key, body)).status, 200, key);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.deepEqual(await order({ what: 'rot', bucket: BUCKET }), [file('2026-11-25', 'large')]);
    assert.deepEqual(
      await order({ what: 'rot', bucket: BUCKET, key: 'daily/2026-11-24/backup.json', at: 0 }),
      ['daily/2026-11-24/backup.json'],
    );
    await assert.rejects(order({ what: 'rot', bucket: BUCKET, key: 'none' }), {
      name: 'RangeError',
      message: `${BUCKET} holds no object none`,
    });
  });

  test('and a bucket that is broken answers 503 until it is mended', async () => {
    await order({ what: 'bucket', bucket: BUCKET, available: false });
    assert.equal((await store('a', 'b')).status, 503);
    await order({ what: 'bucket', bucket: BUCKET, available: true });
    assert.equal((await store('a', 'b')).status, 200);
  });
});

describe('faults as they are called', () => {
  function faultsOf() {
    const orders: StorageOrder[] = [];
    const timeline = new Timeline();
    const events: RehearsalEvent[] = [];
    timeline.listen((event) => events.push(event));
    const faults = new StorageFaults({
      deployment: { ...deploymentOf(bucket), stage: 'dev' },
      table: TABLE,
      regions: REGIONS,
      order: async (what) => {
        orders.push(what);
        return what.what === 'damage' ? ['a/b/1', 'a/b/2', 'a/b/3', 'a/b/4'] : ['the key'];
      },
      timeline,
      now: () => 5,
    });
    return { faults, orders, events };
  }

  test('a bucket is broken once and mended once, and its state says since when', async () => {
    const { faults, events } = faultsOf();
    await assert.rejects(faults.breakBucket(PRIMARY, true), FaultRefused);
    await faults.breakBucket(PRIMARY, false);
    assert.deepEqual(faults.buckets, [{ region: PRIMARY, bucket: BUCKET, available: false, since: 5 }]);
    await assert.rejects(faults.breakBucket(PRIMARY, false), /answers 503 already/);
    await faults.breakBucket(PRIMARY, true);
    await assert.rejects(faults.breakBucket('mars', false), /is one of us-east-2, got "mars"/);
    assert.deepEqual(
      events.map((event) => 'why' in event && event.why),
      [`${BUCKET} answers 503`, `${BUCKET} works again`],
    );
  });

  test('what is done goes where it belongs, and the timeline says what it was', async () => {
    const { faults, orders, events } = faultsOf();
    assert.deepEqual(await faults.rot(PRIMARY), { at: 5, key: 'the key' });
    assert.deepEqual((await faults.damage({ records: 4 })).records.length, 4);
    await faults.damage({ record: 'acme/notes/n1' });
    assert.equal(await faults.wipe(), 5);
    assert.deepEqual(await faults.plantRecords(10), {
      tenant: 'planted',
      collection: 'notes',
      records: 10,
      payloadBytes: 200,
    });
    assert.deepEqual(orders.slice(0, 4), [
      { what: 'rot', bucket: BUCKET },
      { what: 'damage', table: TABLE, records: 4 },
      { what: 'damage', table: TABLE, records: [{ tenant: 'acme', collection: 'notes', id: 'n1' }] },
      { what: 'wipe', table: TABLE },
    ]);
    assert.match(JSON.stringify(events[1]), /a\/b\/1, a\/b\/2, a\/b\/3 and 1 more/);
    for (const record of ['acme', 'acme/notes', 'acme/notes/n1/x', '//'])
      await assert.rejects(faults.damage({ record }), /a record is <tenant>\/<collection>\/<id>, got/);
    await assert.rejects(faults.damage({ records: 0 }), RangeError);
    await assert.rejects(faults.plantRecords(0), RangeError);
  });
});
