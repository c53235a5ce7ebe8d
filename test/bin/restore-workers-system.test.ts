// A restore whose full backup the restore function loads, from the command's side to the table: through the queue, the
// bucket and the table of what plays AWS.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskQueues } from '../../bin/restore/queue.ts';
import { Target } from '../../bin/restore/target.ts';
import { createRestore } from '../../lambdas/routes/restore.ts';
import { assemble, type Service } from '../../lambdas/service.ts';
import { createDynamoDBClient } from '../../lambdas/store/attempts.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import { createRestoreTable } from '../../lambdas/store/restore-table.ts';
import { createS3Client } from '../../lambdas/store/s3-audit-store.ts';
import { createS3BackupStore } from '../../lambdas/store/s3-backup-store.ts';
import { bucketName, restoreQueueName } from '../../lib/names.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { signedCall } from '../../rehearsal/aws/signed-call.ts';
import { QueueSource } from '../../rehearsal/region/queue-source.ts';
import { Recorder } from '../lambdas/functions.ts';
import { ACCOUNT, QUORUM, REGIONS, STANDBY, TABLE } from '../rehearsal/fake-deployment.ts';
import {
  ALL,
  audited,
  aws,
  credentials,
  expected,
  history,
  inUse,
  LATEST,
  RECORDS,
  run,
  SERVING,
  stored,
  targetOf,
} from './restore-system.ts';
import { unstamped } from './unstamped.ts';

const WITH_WORKERS = { ...ALL, workers: true } as const;
const sources: QueueSource[] = [];
const telemetry = new Recorder();
after(() => Promise.all(sources.map((it) => it.close())));

/** Fed as its event source mapping feeds it. `spoil`: in place of putting an item. */
function startFunction(region: string, spoil?: (item: ExportedItem) => void): QueueSource {
  const as = { endpoint: aws.endpoint, region, credentials: credentialsOf(OPERATOR, region) };
  const client = createDynamoDBClient(as);
  const place: Service['place'] = {
    ...{ stage: 'dev', role: 'standby', region },
    regions: { primary: SERVING[0] ?? '', standby: STANDBY, quorum: QUORUM },
  };
  const store = createDynamoDBStore({ client, tableName: TABLE });
  const table = createRestoreTable({ client, tableName: TABLE });
  const call = (operation: string, input: object) =>
    signedCall({ ...as, service: 'sqs', timeoutMs: 30_000 }, `AmazonSQS.${operation}`, input);
  const queueUrl = `https://sqs.${region}.amazonaws.com/${ACCOUNT}/${restoreQueueName('dev', 'tasks')}`;
  const restore = createRestore({
    ...assemble({ place, store, telemetry }),
    table: {
      putIfAbsent: async (item) => {
        spoil?.(item);
        await table.putIfAbsent(item);
      },
    },
    store: createS3BackupStore({
      client: createS3Client({ ...as, forcePathStyle: true }),
      bucket: bucketName('dev', 'backup', region, ACCOUNT),
    }),
    queue: {
      showAgain: async (ReceiptHandle) => {
        await call('ChangeMessageVisibility', { QueueUrl: queueUrl, ReceiptHandle, VisibilityTimeout: 0 });
      },
    },
    maker: 'f'.repeat(16),
    through: undefined,
  });
  const source = new QueueSource({
    mapping: {
      ...{ id: 'm', arn: 'm', functionName: 'restore', queueArn: 'q', queueUrl },
      ...{ batchSize: 1, concurrencyMax: 2, reportsItemFailures: true },
    },
    region,
    // Nothing waits for the end of a long poll here.
    call: (operation, input) =>
      call(operation, { ...input, ...(operation === 'ReceiveMessage' && { WaitTimeSeconds: 1 }) }),
    invoke: async (payload) => ({ payload: JSON.stringify(await restore(JSON.parse(payload))) }),
    onLog: assert.fail,
    wait: (ms) => sleep(ms),
  });
  sources.push(source);
  return source;
}

const queues = () => {
  const made = new TaskQueues({ stage: 'dev', address: { endpoint: aws.endpoint, credentials } });
  after(() => made.close());
  return made;
};
const functions = (regions: readonly string[] = SERVING) => {
  const made = queues();
  return { regions, queueIn: (region: string) => made.in(region) };
};
/** In the middle of the loop the command looks again soon. */
const soon = { sleep: () => sleep(20) };

test('an empty table comes back as it last was; the full backup is read by the function alone, in its own Region', async () => {
  const source = startFunction(STANDBY);
  const { result, said } = await run({ ask: WITH_WORKERS }, { functions: functions(), ...soon });
  await source.close();
  assert.equal(result.ending, 'restored', result.why);
  const items = await stored();
  assert.equal(items.size, RECORDS);
  assert.deepEqual(unstamped(items), expected(LATEST));
  for (const [pk, item] of items) {
    const before = history.before(LATEST).get(pk)?.['commitVersion'] as { S: string };
    const { S } = item['commitVersion'] as { S: string };
    assert.ok(S > before.S, `${pk} is stamped anew`);
    assert.ok(Number.parseInt(S.slice(0, 12), 16) <= (result.restoreEpoch ?? 0), 'not above the epoch');
  }
  assert.ok(telemetry.sum('restored_records') > 0);
  assert.ok(
    said.some((it) => /^from daily\/.* in us-west-2 and 1 on top of it/.test(it)),
    'sound there',
  );
  assert.equal((await audited('begun')).length >= REGIONS.length, true);
});

test('a file that no worker can load ends it with its name and why; it is gone on with after that, here or there', async () => {
  let [spoils, puts] = [true, 0];
  const source = startFunction(STANDBY, () => {
    puts += 1;
    if (spoils && puts > 20) throw new TypeError('no such thing');
  });
  await assert.rejects(
    run({ ask: WITH_WORKERS }, { functions: functions(), ...soon }),
    /daily\/.*data\/\d\.json\.gz, lines 1 to \d+: no worker could do it, however often it was tried: no such thing/,
  );
  const target = targetOf(Target);
  assert.equal((await target.generation())?.isOpen, false);
  spoils = false;
  const { result } = await run({ what: 'resume' }, { functions: functions(), ...soon });
  await source.close();
  assert.equal(result.ending, 'restored', result.why);
  assert.deepEqual(unstamped(await stored()), expected(LATEST));
});

test('interrupted, it stays closed; the rest can be read from here, without any function', async () => {
  const abort = new AbortController();
  const source = startFunction(STANDBY, () => abort.abort());
  const first = await run({ ask: WITH_WORKERS }, { functions: functions(), abort, ...soon });
  await source.close();
  assert.equal(first.result.ending, 'interrupted', first.result.why);
  assert.equal((await targetOf(Target).generation())?.isOpen, false);
  const { result } = await run({ what: 'resume', here: true });
  assert.equal(result.ending, 'restored', result.why);
  assert.deepEqual(unstamped(await stored()), expected(LATEST));
});

test('a table in use, and a backup that stands where no function is, are refused before anything is closed', async () => {
  await inUse();
  const source = startFunction(STANDBY);
  const { result } = await run({ ask: WITH_WORKERS }, { functions: functions(), ...soon });
  await source.close();
  assert.deepEqual([result.ending, /has records: without --workers/.test(result.why)], ['refused', true]);
  const none = await run({ ask: WITH_WORKERS }, { functions: functions(['eu-west-1']), ...soon });
  assert.deepEqual([none.result.ending, /no bucket has a backup/.test(none.result.why)], ['refused', true]);
  assert.equal((await targetOf(Target).generation())?.isOpen, true);
});
