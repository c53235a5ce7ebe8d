// A system to be restored: backups and journals of one history in the buckets of what plays AWS, and its table, emptied
// before each test.
import assert from 'node:assert/strict';
import { after, before, beforeEach } from 'node:test';
import { openBucket } from '../../bin/buckets.ts';
import type { Ask } from '../../bin/restore/ask.ts';
import { openPlaces, type Places } from '../../bin/restore/places.ts';
import { type Result, restore, type Undertaking } from '../../bin/restore/run.ts';
import { Target } from '../../bin/restore/target.ts';
import type { Scene } from '../../bin/restore/work.ts';
import { bucketName, restoreQueueName } from '../../lib/names.ts';
import { backupPrefix, DAY_MS, HOUR_MS, tickOf } from '../../protocol/backups.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { Stamps } from '../../protocol/restore-stamps.ts';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { DEV } from '../lib/assembly.ts';
import {
  ACCOUNT,
  deploymentOf,
  keys,
  PRIMARY,
  REGIONS,
  recordsTable,
  resource,
  STANDBY,
  TABLE,
} from '../rehearsal/fake-deployment.ts';
import { backupObjects, History, journalObjects } from './restore-world.ts';
import { unstamped } from './unstamped.ts';

export const DAY = tickOf('daily', Date.now()) - 2 * DAY_MS;
const DAILY = backupPrefix({ tier: 'daily', tickMs: DAY });
export const RECORDS = 75;
export const ALL: Ask = { scope: { kind: 'all' }, overwrite: false };
/** Where restore functions are. */
export const SERVING = [PRIMARY, STANDBY];
export const history = new History();
export let aws: Aws;
let places: Places;
const open: { close(): void }[] = [];
export const credentials = credentialsOf(OPERATOR, PRIMARY);

before(async () => {
  for (let n = 0; n < RECORDS; n += 1)
    history.write(`n${n}`, DAY - HOUR_MS + n, n % 9 === 0 ? undefined : `{"n":${n}}`);
  for (let n = 0; n < 40; n += 3) history.write(`n${n}`, DAY + n, `{"hour":${n}}`);
  for (let n = 0; n < 40; n += 5) history.write(`n${n}`, DAY + HOUR_MS + 60_000 + n, `{"journal":${n}}`);
  // The journals have caught up whenever the table is closed.
  history.beat(Date.now() + 120_000);
  const buckets = REGIONS.flatMap((region) =>
    (['backup', 'audit'] as const).map((use) => {
      const name = bucketName('dev', use, region, ACCOUNT);
      return resource('AWS::S3::Bucket', {}, { region, physicalId: name, arn: `arn:aws:s3:::${name}` });
    }),
  );
  aws = await startAws({ deployment: deploymentOf(...keys(), recordsTable(), ...buckets, ...queues()) });
  await Promise.all(
    REGIONS.map(async (region) => {
      const objects = new Map([
        ...backupObjects(history, { tier: 'daily', tickMs: DAY, region }),
        ...backupObjects(history, {
          ...{ tier: 'hourly', tickMs: DAY + HOUR_MS, fromMs: DAY, chain: [DAILY], region },
          verdict: region === PRIMARY ? 'corrupted' : 'verified',
        }),
        ...journalObjects(history, region, { fromMs: DAY, size: 9 }),
      ]);
      const bucket = bucketOf('backup', region);
      for (const [key, content] of objects) await bucket.put(key, content, 'application/octet-stream');
    }),
  );
  const address = { endpoint: aws.endpoint, credentials };
  places = await openPlaces({ config: DEV, stage: 'dev', account: ACCOUNT, address });
  open.push(places);
});
after(async () => {
  for (const it of open) it.close();
  await aws.close();
});
beforeEach(async () => {
  await table().wipe();
});

/** Of the restore function in both serving Regions. */
function queues() {
  return SERVING.flatMap((region) =>
    (['failed', 'tasks'] as const).map((use) => {
      const name = restoreQueueName('dev', use);
      const arn = `arn:aws:sqs:${region}:${ACCOUNT}:${name}`;
      const RedrivePolicy = { deadLetterTargetArn: arn.replace(/tasks$/, 'failed'), maxReceiveCount: 3 };
      return resource('AWS::SQS::Queue', use === 'tasks' ? { RedrivePolicy } : {}, {
        ...{ region, arn },
        physicalId: `https://sqs.${region}.amazonaws.com/${ACCOUNT}/${name}`,
      });
    }),
  );
}
export const table = () => aws.tables.get(TABLE) ?? assert.fail('expected the table');

export function bucketOf(use: 'backup' | 'audit', region: string) {
  const bucket = openBucket({
    ...{ region, bucket: bucketName('dev', use, region, ACCOUNT), endpoint: aws.endpoint, credentials },
  });
  open.push(bucket);
  return bucket;
}

export function targetOf<T extends Target>(
  of: new (options: ConstructorParameters<typeof Target>[0]) => T,
): T {
  const target = new of({
    address: { name: TABLE, endpoint: aws.endpoint, credentials },
    ...{ regions: REGIONS, lanes: 4 },
  });
  open.push(target);
  return target;
}

export interface Ran {
  readonly result: Result;
  readonly said: readonly string[];
  readonly asked: readonly string[];
  readonly sleptMs: number;
}

export interface RunOptions {
  readonly target?: Target;
  readonly abort?: AbortController;
  readonly agrees?: boolean;
  readonly functions?: Scene['functions'];
  /** Beside being counted. */
  readonly sleep?: () => Promise<unknown>;
}

const NO_FUNCTIONS: Scene['functions'] = {
  regions: [],
  queueIn: (region) => assert.fail(`no restore function is in ${region}`),
};

export async function run(
  wanted: Partial<Undertaking>,
  {
    target = targetOf(Target),
    abort = new AbortController(),
    agrees = true,
    functions = NO_FUNCTIONS,
    sleep = async () => undefined,
  }: RunOptions = {},
): Promise<Ran> {
  const said: string[] = [];
  const asked: string[] = [];
  let sleptMs = 0;
  const ports = {
    now: Date.now,
    sleep: async (ms: number) => {
      sleptMs += ms;
      await sleep();
    },
    say: ({ says }: { readonly says: string }) => said.push(says),
    agree: async (question: string) => {
      asked.push(question);
      return agrees;
    },
    interrupted: abort.signal,
    json: true,
  };
  const stamps = new Stamps('b'.repeat(16), ports.now);
  const result = await restore(
    {
      ...{
        places,
        target,
        lanes: 4,
        force: wanted.force ?? false,
        ports,
        stamps,
        through: undefined,
        functions,
      },
    },
    {
      ...{ name: 'a test', what: 'restore', ask: ALL, reason: 'a test' },
      ...{ dryRun: false, force: false, here: false, ...wanted },
    },
  );
  return { result, said, asked, sleptMs };
}

/** Every record as one region's replica has it, by partition key. */
export async function stored(): Promise<ReadonlyMap<string, ExportedItem>> {
  const items = new Map<string, ExportedItem>();
  await targetOf(Target).scan((page) => {
    for (const item of page) items.set((item['pk'] as { S: string }).S, item);
  });
  return items;
}

export const expected = (untilMs: number) =>
  unstamped(new Map([...history.before(untilMs)].filter(([pk]) => pk.startsWith('R#'))));
export const LATEST = DAY + DAY_MS;

/** The latest state, open, as if nothing had happened. */
export async function inUse(): Promise<void> {
  const { result } = await run({});
  assert.equal(result.ending, 'restored', result.why);
}

export async function audited(what: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const region of REGIONS)
    for await (const key of bucketOf('audit', region).keys('restores/'))
      if (key.includes(what)) found.push(`${region} ${key}`);
  return found;
}
