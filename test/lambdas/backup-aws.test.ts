// Backup and verification of the quorum Region as its stack deploys them, on what plays AWS: their own adapters, their own
// permissions, exports of DynamoDB itself, S3 with its locks, state in the table.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DescribeTableCommand, DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { GetObjectRetentionCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { createAuditCare } from '../../lambdas/audit-care.ts';
import {
  readAuditBucketsFrom,
  readBackupBucketsFrom,
  readKeyArn,
  readLocks,
  readOffsite,
  readScratchPrefix,
  readTableArn,
} from '../../lambdas/env.ts';
import { createJournalCare } from '../../lambdas/journal-care.ts';
import { createBackup } from '../../lambdas/routes/backup.ts';
import { createVerification } from '../../lambdas/routes/verification.ts';
import type { BackupReader } from '../../lambdas/store/backup-store.ts';
import { createDynamoDBExporter } from '../../lambdas/store/dynamodb-exporter.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import { createS3AuditStore } from '../../lambdas/store/s3-audit-store.ts';
import { createS3BackupStore } from '../../lambdas/store/s3-backup-store.ts';
import { createS3JournalStore } from '../../lambdas/store/s3-journal-store.ts';
import { createScratchTables } from '../../lambdas/store/scratch-table.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { TableCalls } from '../../lambdas/store/table-calls.ts';
import { verificationItems } from '../../lambdas/store/verification-items.ts';
import { buildApp } from '../../lib/app.ts';
import { synthesizeKept } from '../../lib/retention.ts';
import { type BackupVerdict, parseBackupVerdict } from '../../protocol/backup-verdicts.ts';
import {
  BACKUP_FILE,
  type BackupTier,
  backupPrefix,
  DAY_MS,
  HOUR_MS,
  parseBackup,
  tickOf,
} from '../../protocol/backups.ts';
import { journalHour, parkedKey } from '../../protocol/journal.ts';
import { type Deployment, readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { Clock } from '../../rehearsal/aws/clock.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { DEV } from '../lib/assembly.ts';
import { trailOf } from './audit-trail.ts';
import { recordItem } from './exports.ts';
import { Recorder } from './functions.ts';
import { StreamedTable, segmentsOf, zipped } from './journal-world.ts';

const { quorum: REGION } = DEV.regions;
const TABLE = 'eden-field-dev-records';
const place = { stage: 'dev', role: 'quorum', region: REGION, regions: DEV.regions } as const;
const clock = new Clock();
const telemetry = new Recorder();
const clients: { destroy(): void }[] = [];
let aws: Aws;

/** A function of the quorum Region as its stack makes it: its environment, and its own permissions. */
interface Deployed {
  readonly environment: Readonly<Record<string, string>>;
  readonly dynamodb: DynamoDBClient;
  readonly s3: (region?: string) => S3Client;
}
let backup: Deployed;
let verification: Deployed;
let operator: Deployed;

function clientsOf(principal: string) {
  const config = {
    endpoint: aws.endpoint,
    credentials: credentialsOf(principal, REGION),
    maxAttempts: 1,
  };
  const dynamodb = new DynamoDBClient({ ...config, region: REGION });
  clients.push(dynamodb);
  return {
    dynamodb,
    s3: (region = REGION) => {
      const s3 = new S3Client({ ...config, region, forcePathStyle: true });
      clients.push(s3);
      return s3;
    },
  };
}

function deployed(deployment: Deployment, name: string): Deployed {
  const found = deployment
    .ofType('AWS::Lambda::Function', REGION)
    .find(({ properties }) => properties['FunctionName'] === `eden-field-dev-${name}`);
  const { Role: role, Environment: environment } = found?.properties ?? assert.fail(`no function ${name}`);
  const { Variables: variables } = environment as { Variables: Record<string, string> };
  return { environment: variables, ...clientsOf(String(role)) };
}

before(async () => {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-backups-'));
  try {
    synthesizeKept(buildApp(DEV, { validate: false, bundle: false, outdir }).app, DEV);
    const deployment = readDeployment(outdir);
    aws = await startAws({ deployment, now: clock.now, exports: { times: { durationMs: 0 } } });
    backup = deployed(deployment, 'backup');
    verification = deployed(deployment, 'verification');
    operator = { environment: {}, ...clientsOf(OPERATOR) };
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
  // An hour before a month begins; the table has had a history for days.
  const month = tickOf('offsite', tickOf('offsite', clock.now() + 4 * DAY_MS) + 32 * DAY_MS);
  clock.advance(month - HOUR_MS - clock.now());
});
after(async () => {
  for (const client of clients) client.destroy();
  await aws.close();
});

const bucketName = () => readBackupBucketsFrom(REGION, backup.environment).own;
const exporter = () =>
  createDynamoDBExporter({
    client: backup.dynamodb,
    tableName: TABLE,
    tableArn: readTableArn(backup.environment),
  });
const bucketStore = (of: Deployed = operator) =>
  createS3BackupStore({ client: of.s3(), bucket: bucketName() });

async function write(id: string, payload: string | undefined): Promise<void> {
  const table = aws.tables.get(TABLE) ?? assert.fail('expected the table');
  const Item = recordItem(id, clock.now(), payload);
  await table.write(REGION, 'PutItem', { TableName: TABLE, Item }, false);
}

async function backUp(tier: BackupTier): Promise<void> {
  const { environment, dynamodb } = backup;
  const store = createDynamoDBStore({ client: dynamodb, tableName: TABLE });
  const generation = async () => store.generation();
  const { own, peers } = readBackupBucketsFrom(REGION, environment);
  const offsite = readOffsite(environment) ?? assert.fail('expected an offsite bucket');
  await createBackup({
    place,
    telemetry,
    now: clock.now,
    wait: async (ms) => clock.advance(ms),
    generation: { current: generation, refresh: generation },
    store,
    exporter: exporter(),
    tableArn: readTableArn(environment),
    places: [
      {
        tiers: ['hourly', 'daily', 'weekly'],
        store: bucketStore(backup),
        target: { bucket: own, keyArn: readKeyArn(environment) },
        peers: new Map(
          Object.entries(peers).map(([at, bucket]) => [
            at,
            createS3BackupStore({ client: backup.s3(at), bucket }),
          ]),
        ),
      },
      {
        tiers: ['offsite'],
        store: createS3BackupStore({ client: backup.s3(), bucket: offsite.bucket }),
        target: offsite,
        peers: new Map(),
      },
    ],
  })({ tier, atMs: clock.now() });
}

function auditsOf({ environment, s3 }: Deployed) {
  const { own, peers } = readAuditBucketsFrom(REGION, environment);
  const storeIn = (at: string, bucket: string) => createS3AuditStore({ client: s3(at), bucket });
  return {
    own: storeIn(REGION, own),
    peers: new Map(Object.entries(peers).map(([at, bucket]) => [at, storeIn(at, bucket)])),
  };
}

async function verify(): Promise<void> {
  const { environment, dynamodb, s3 } = verification;
  const { mode, days } = readLocks(environment);
  const { bucket: offsite } = readOffsite(environment) ?? assert.fail('expected an offsite bucket');
  const calls = new TableCalls({
    client: dynamodb,
    tableName: TABLE,
    writeAttemptMs: 2_000,
    readAttemptMs: 2_000,
  });
  const storeOf = (bucket: string) => createS3BackupStore({ client: s3(), bucket, lockMode: mode });
  const shared = { place, telemetry, now: clock.now, log: verificationItems(calls) };
  const { own, peers } = readBackupBucketsFrom(REGION, environment);
  await createVerification({
    ...shared,
    journal: createJournalCare({
      ...shared,
      own: { ...storeOf(own), ...createS3JournalStore({ client: s3(), bucket: own }) },
      peers: new Map(
        Object.entries(peers).map(([at, bucket]) => [at, createS3BackupStore({ client: s3(at), bucket })]),
      ),
      audit: createAuditCare({ region: REGION, telemetry, audits: auditsOf(verification) }),
    }),
    places: [
      { tiers: ['hourly', 'daily', 'weekly'], store: storeOf(bucketName()) },
      { tiers: ['offsite'], store: storeOf(offsite) },
    ],
    lockDays: days,
    scratch: {
      prefix: readScratchPrefix(environment),
      tables: createScratchTables({
        client: dynamodb,
        keyArn: readKeyArn(environment),
        tags: { project: 'eden-field' },
      }),
    },
  })();
}

async function settled(prefix: string, store: BackupReader = bucketStore()): Promise<void> {
  const key = `${prefix}${BACKUP_FILE}`;
  const { exportArn } = parseBackup((await store.text(key)) ?? assert.fail(`no ${key}`), key);
  for (let look = 0; look < 400; look += 1) {
    const { state, why } = await exporter().progress(exportArn);
    assert.notEqual(state, 'failed', why);
    if (state === 'completed') return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail('expected the export to end');
}

async function verdictOf(prefix: string, store: BackupReader = bucketStore()): Promise<BackupVerdict> {
  const key = `${prefix}verdict.json`;
  return parseBackupVerdict((await store.text(key)) ?? assert.fail(`no ${key}`), key);
}

test('a day’s full backup and two hours on top of it are made, proven, locked, and come to what is in the table', async () => {
  const dayMs = tickOf('daily', clock.now()) + DAY_MS;
  const day = new Date(dayMs).toISOString().slice(0, 10);
  for (let n = 0; n < 30; n += 1) await write(`n${n}`, n % 7 === 0 ? undefined : `{"n":${n}}`);
  clock.advance(HOUR_MS + 20 * 60_000);
  await backUp('daily');
  await settled(`daily/${day}/`);
  const hours = [`hourly/${day}T01Z/`, `hourly/${day}T02Z/`];
  for (const [index, prefix] of hours.entries()) {
    await write('n1', `{"edited":${index}}`);
    await write(`new${index}`, '{}');
    clock.advance(HOUR_MS);
    await backUp('hourly');
    await settled(prefix);
  }
  await verify();
  const [full, one, two] = await Promise.all([`daily/${day}/`, ...hours].map((prefix) => verdictOf(prefix)));
  for (const verdict of [full, one, two]) assert.deepEqual(verdict?.problems, []);
  assert.deepEqual(
    [full, one, two].map((it) => it?.state.records),
    [30, 31, 32],
  );
  assert.deepEqual([full?.kind, one?.kind, two?.kind], ['full', 'incremental', 'incremental']);
  assert.deepEqual(two?.chain, [`daily/${day}/`, `hourly/${day}T01Z/`]);
  const { keys: objects } = await bucketStore().keys(`daily/${day}/`);
  const data = objects.find((key) => key.endsWith('.json.gz')) ?? assert.fail('no data file');
  const { Retention } = await operator
    .s3()
    .send(new GetObjectRetentionCommand({ Bucket: bucketName(), Key: data }));
  assert.equal(Retention?.RetainUntilDate?.getTime(), dayMs + 30 * DAY_MS);
  assert.deepEqual(telemetry.errors, []);
});

test('a data file that was changed in the bucket is found', async () => {
  const day = new Date(tickOf('daily', clock.now())).toISOString().slice(0, 10);
  const prefix = `hourly/${day}T03Z/`;
  await write('n2', '{"edited":true}');
  clock.advance(tickOf('hourly', clock.now()) + HOUR_MS + 20 * 60_000 - clock.now());
  await backUp('hourly');
  await settled(prefix);
  const { keys: objects } = await bucketStore().keys(prefix);
  const data = objects.find((key) => key.endsWith('.json.gz')) ?? assert.fail(`no data file in ${objects}`);
  await operator
    .s3()
    .send(
      new PutObjectCommand({ Bucket: bucketName(), Key: data, Body: 'no gzip', ChecksumAlgorithm: 'SHA256' }),
    );
  await verify();
  const verdict = await verdictOf(prefix);
  assert.deepEqual([verdict.verdict, verdict.problems[0]?.file], ['corrupted', data]);
});

test('what is not there, or not allowed, is told apart', async () => {
  const store = bucketStore();
  assert.equal(await store.text('hourly/none'), undefined);
  assert.equal(await store.file('hourly/none'), undefined);
  assert.deepEqual(await store.keys('weekly/none/'), { keys: [], more: false });
  const elsewhere = createS3BackupStore({ client: operator.s3(), bucket: 'nobodys' });
  await assert.rejects(elsewhere.keys('x'), StoreUnavailableError);
  const unknown = `${readTableArn(backup.environment)}/export/01234567890123-abcdef01`;
  assert.deepEqual(await exporter().progress(unknown), {
    state: 'failed',
    why: 'DynamoDB does not know the export any more',
  });
});

test('a journal’s gap is filled from another Region’s, with the entries it tells of, and what was parked comes home', async () => {
  // Hours before were looked at already.
  const hourMs = tickOf('hourly', clock.now());
  clock.advance(2 * HOUR_MS);
  const [near = assert.fail(), far = assert.fail()] = Object.keys(
    readBackupBucketsFrom(REGION, verification.environment).peers,
  );
  const table = new StreamedTable(hourMs);
  for (let n = 0; n < 6; n += 1) table.write(`n${n}`, hourMs + n * 1_000, '{}');
  const [trail = assert.fail()] = trailOf({ tenant: 'acme', collection: 'notes', id: 'n0' }, 1);
  const [first = assert.fail(), ...others] = table.elsewhere(1);
  const image = {
    ...first.image,
    auditSequence: { N: '1' },
    auditHead: { S: trail.hash },
    outbox: { L: [{ S: trail.text }] },
  };
  const [filled = assert.fail()] = segmentsOf([{ ...first, image }, ...others], near, 6);
  const [parked = assert.fail()] = segmentsOf([table.beat(hourMs + 9_000)], REGION);
  const put = (region: string, Key: string, text: string) =>
    operator.s3(region).send(
      new PutObjectCommand({
        Bucket: bucketName().replace(REGION, region),
        Key,
        Body: zipped(text),
        ChecksumAlgorithm: 'SHA256',
      }),
    );
  await put(near, filled.key, filled.text);
  await put(far, parkedKey(parked.key), parked.text);
  await verify();
  const { keys } = await bucketStore().keys(`journal/${journalHour(hourMs)}/`);
  assert.deepEqual(keys, [filled.key, parked.key].sort());
  assert.equal(
    await auditsOf({ ...operator, environment: verification.environment }).own.entry(
      trail.entry.record,
      1,
      trail.hash,
    ),
    trail.text,
  );
  assert.deepEqual(telemetry.samples.findLast(({ name }) => name === 'journal_gaps')?.value, 0);
});

test('the state of a verification is saved by one at a time', async () => {
  const log = verificationItems(
    new TableCalls({
      client: verification.dynamodb,
      tableName: TABLE,
      writeAttemptMs: 2_000,
      readAttemptMs: 2_000,
    }),
  );
  assert.deepEqual(await log.load('nobody#daily'), { revision: 0, state: undefined });
  assert.equal(await log.save('nobody#daily', { revision: 1, state: '{}' }), true);
  assert.equal(await log.save('nobody#daily', { revision: 1, state: '{"mine":1}' }), false);
  assert.deepEqual(await log.load('nobody#daily'), { revision: 1, state: '{}' });
  assert.equal(await log.save('nobody#daily', { revision: 2, state: undefined }), true);
  assert.deepEqual(await log.load('nobody#daily'), { revision: 2, state: undefined });
});

test('the offsite copy is made with the key of its own, proven through a scratch table, and locked for its years', async () => {
  const errorsBefore = telemetry.errors.length;
  await backUp('offsite');
  const { bucket } = readOffsite(backup.environment) ?? assert.fail('expected an offsite bucket');
  const store = createS3BackupStore({ client: operator.s3(), bucket });
  const prefix = backupPrefix({ tier: 'offsite', tickMs: tickOf('offsite', clock.now()) });
  await settled(prefix, store);
  await verify();
  const { verdict, loaded, loadedFiles, files } = await verdictOf(prefix, store);
  assert.deepEqual([verdict, loaded, loadedFiles], ['verified', true, files]);
  assert.deepEqual(telemetry.errors.slice(errorsBefore), []);
  const { TableNames: left } = await operator.dynamodb.send(new ListTablesCommand({}));
  const scratch = left?.filter((name) => name.startsWith(readScratchPrefix(verification.environment)));
  for (const TableName of scratch ?? []) {
    const { Table } = await operator.dynamodb.send(new DescribeTableCommand({ TableName }));
    assert.equal(Table?.TableStatus, 'DELETING');
  }
});
