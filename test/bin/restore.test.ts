// A restore from beginning to end on what plays AWS: an empty table, a table in use, one that is interrupted, one that
// does not come out right; what it says, what it leaves behind, and at the end as a command.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { DeleteItemCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { Ask } from '../../bin/restore/ask.ts';
import { copyOf } from '../../bin/restore/examine.ts';
import { Target } from '../../bin/restore/target.ts';
import { HOUR_MS } from '../../protocol/backups.ts';
import type { ExportedItem } from '../../protocol/export-files.ts';
import { STATE } from '../../protocol/items.ts';
import { CLOSED_MS_MIN } from '../../protocol/limits.ts';
import { PRIMARY, REGIONS, STANDBY, TABLE } from '../rehearsal/fake-deployment.ts';
import {
  ALL,
  audited,
  aws,
  bucketOf,
  credentials,
  DAY,
  expected,
  history,
  inUse,
  LATEST,
  RECORDS,
  run,
  stored,
  table,
  targetOf,
} from './restore-system.ts';
import { pkOf } from './restore-world.ts';
import { unstamped } from './unstamped.ts';

test('an empty table comes back as it last was, stamped anew, opened under a raised epoch, and on record', async () => {
  const began = Date.now();
  const { result, said, asked, sleptMs } = await run({});
  assert.equal(result.ending, 'restored', result.why);
  const items = await stored();
  assert.deepEqual(unstamped(items), expected(LATEST));
  const epoch = result.restoreEpoch ?? 0;
  for (const item of items.values()) {
    const copy = copyOf(item);
    assert.ok(copy.kind === 'whole');
    const ms = Number.parseInt(copy.record.commitVersion.slice(0, 12), 16);
    assert.ok(began <= ms && ms <= epoch);
  }
  assert.equal(
    new Set([...items.values()].map((item) => JSON.stringify(item['commitVersion']))).size,
    RECORDS,
  );
  const target = targetOf(Target);
  assert.deepEqual(await target.generation(), { isOpen: true, restoreEpoch: epoch, restoreId: undefined });
  assert.equal((await target.saved()).state, undefined);
  assert.ok(sleptMs >= CLOSED_MS_MIN, 'it may have been open until it lost everything');
  assert.match(asked[0] ?? '', /close .*, restore all records as of .* which is empty/);
  assert.ok(
    said.some((it) => /not taken: hourly.* in us-east-2: it is corrupted/.test(it)),
    said.join('\n'),
  );
  assert.ok(said.some((it) => /^from daily\/.* in us-west-2 and 1 on top of it/.test(it)));
  assert.ok(said.some((it) => /us-east-1 offsite does not answer/.test(it)));
  assert.equal((await audited('begun')).length, 3);
  assert.equal((await audited('ended')).length, 3);
});

test('at a time: as it was then; where the backup holds the very moment, without journals', async () => {
  const atMs = DAY + 10;
  const then = await run({ ask: { ...ALL, atMs } });
  assert.equal(then.result.ending, 'restored', then.result.why);
  assert.deepEqual(unstamped(await stored()), expected(atMs + 1));
  await table().wipe();
  const moment = await run({ ask: { ...ALL, atMs: DAY + HOUR_MS } });
  assert.ok(!moment.said.some((it) => it.startsWith('journals:')));
  assert.deepEqual(unstamped(await stored()), expected(DAY + HOUR_MS));
});

test('a tenant alone, and nothing for one that nobody has', async () => {
  const none = await run({
    ask: { scope: { kind: 'tenant', tenant: 'nobody' }, overwrite: false },
    dryRun: true,
  });
  assert.deepEqual([none.result.ending, none.result.facts?.records], ['dry_run', 0]);
  const acme = await run({ ask: { scope: { kind: 'tenant', tenant: 'acme' }, overwrite: false } });
  assert.equal(acme.result.facts?.records, RECORDS);
});

/** Is interrupted by its own third batch. */
class Interrupting extends Target {
  readonly abort = new AbortController();
  puts = 0;
  override async putAll(items: readonly ExportedItem[]): Promise<void> {
    this.puts += 1;
    if (this.puts === 4) this.abort.abort();
    await super.putAll(items);
  }
}

test('interrupted, it stays closed and says how to go on; then it goes on from where it was', async () => {
  const target = targetOf(Interrupting);
  const first = await run({}, { target, abort: target.abort });
  assert.equal(first.result.ending, 'interrupted');
  assert.match(first.result.why, /stays closed\. Go on with npm run restore -- --resume/);
  const generation = await target.generation();
  assert.ok(generation && !generation.isOpen && generation.restoreId);
  const again = await run({});
  assert.equal(again.result.ending, 'refused');
  assert.match(again.result.why, /is being restored already: \S+, all records, begun .* because "a test"/);
  const done = JSON.parse((await target.saved()).state ?? '{}').done;
  const resumed = await run({ what: 'resume' });
  assert.equal(resumed.result.ending, 'restored', resumed.result.why);
  assert.deepEqual(unstamped(await stored()), expected(LATEST));
  assert.ok(Object.values(done).flat().length >= 1, 'a file was done before');
  const over = await run({ what: 'resume' });
  assert.equal(over.result.ending, 'nothing');
});

test('one that is given up opens what there is, under a raised epoch', async () => {
  const target = targetOf(Interrupting);
  await run({}, { target, abort: target.abort });
  const { result } = await run({ what: 'give_up' });
  assert.equal(result.ending, 'opened');
  const generation = await target.generation();
  assert.deepEqual([generation?.isOpen, generation?.restoreEpoch], [true, result.restoreEpoch]);
  assert.equal((await run({ what: 'give_up' })).result.ending, 'nothing');
});

class Losing extends Target {
  override async putAll(items: readonly ExportedItem[]): Promise<void> {
    await super.putAll(items.filter((item) => (item['pk'] as { S: string }).S !== pkOf('n7')));
  }
}

test('a table that did not come out as it should is not opened', async () => {
  const target = targetOf(Losing);
  const { result } = await run({}, { target });
  assert.equal(result.ending, 'not_equal');
  assert.match(result.why, new RegExp(`expected ${RECORDS} records of digest .*, got ${RECORDS - 1} of`));
  assert.equal((await target.generation())?.isOpen, false);
  const again = await run({ what: 'resume' });
  assert.equal(again.result.ending, 'restored', again.result.why);
  assert.equal(again.result.facts?.records, RECORDS, 'all of it was done again');
});

test('two cannot do it at once: whoever saves second ends', async () => {
  class Overtaken extends Target {
    override async putAll(items: readonly ExportedItem[]): Promise<void> {
      const { revision, state } = await this.saved();
      await this.save(`${state} `, revision);
      await super.putAll(items);
    }
  }
  await assert.rejects(run({}, { target: targetOf(Overtaken) }), /somebody else goes on with this restore/);
});

test('damaged records are mended while the table stays open, whichever replica has them', async () => {
  await inUse();
  const target = targetOf(Target);
  const generation = await target.generation();
  const earlier = await stored();
  for (const [id, regions] of [
    ['n3', [STANDBY]],
    ['n5', REGIONS],
  ] as const)
    for (const region of regions) {
      const item = earlier.get(pkOf(id)) ?? assert.fail();
      await table().tamper(
        region,
        { pk: { S: pkOf(id) }, sk: { S: STATE } },
        { ...item, payload: { S: 'rot' } },
      );
    }
  const records = ['n3', 'n5', 'n8'].map((id) => ({ tenant: 'acme', collection: 'notes', id }));
  const ask: Ask = { scope: { kind: 'records', records }, overwrite: false };
  const dry = await run({ ask, dryRun: true });
  assert.deepEqual(dry.result.counts, { kept: 1, mended: 2, filled: 0, replaced: 0 });
  const { result, asked } = await run({ ask });
  assert.equal(result.ending, 'mended', result.why);
  assert.match(asked[0] ?? '', /mend 2 records of .*, which stays open/);
  assert.deepEqual(await target.generation(), generation);
  assert.deepEqual(unstamped(await stored()), expected(LATEST));
  for (const items of await target.copies(['n3', 'n5'].map(pkOf)))
    for (const item of items.values()) assert.equal(copyOf(item).kind, 'whole');
  assert.equal((await run({ ask })).result.ending, 'nothing');
});

async function lose(...ids: readonly string[]): Promise<void> {
  const client = new DynamoDBClient({ endpoint: aws.endpoint, credentials, region: PRIMARY });
  for (const id of ids)
    await client.send(
      new DeleteItemCommand({ TableName: TABLE, Key: { pk: { S: pkOf(id) }, sk: { S: STATE } } }),
    );
  client.destroy();
}

test('missing records are filled in behind a closed table, and what is there and whole stays', async () => {
  await inUse();
  const target = targetOf(Target);
  const earlier = await stored();
  const before = await target.generation();
  await lose('n1', 'n2');
  const refused = await run({}, { agrees: false });
  assert.deepEqual([refused.result.ending, await target.generation()], ['declined', before]);
  const { result, sleptMs } = await run({});
  assert.equal(result.ending, 'restored', result.why);
  assert.deepEqual(result.counts, { kept: RECORDS - 2, mended: 0, filled: 2, replaced: 0 });
  assert.ok(sleptMs >= 15_000, 'closed for 15 s before anything is loaded');
  const now = await stored();
  assert.deepEqual(unstamped(now), expected(LATEST));
  for (const [pk, item] of now)
    assert.equal(
      JSON.stringify(item) === JSON.stringify(earlier.get(pk)),
      !['n1', 'n2'].map(pkOf).includes(pk),
    );
  const generation = await target.generation();
  assert.ok(generation?.isOpen && generation.restoreEpoch > (before?.restoreEpoch ?? 0));
});

test('interrupted before anything is written, it is open again as it was', async () => {
  await inUse();
  const target = targetOf(Target);
  const before = await target.generation();
  await lose('n1');
  const abort = new AbortController();
  class Shutting extends Target {
    override async shut(...args: Parameters<Target['shut']>): Promise<boolean> {
      const done = await super.shut(...args);
      abort.abort();
      return done;
    }
  }
  const { result } = await run({}, { target: targetOf(Shutting), abort });
  assert.deepEqual(
    [result.ending, result.why],
    ['interrupted', 'interrupted by the operator; nothing was changed'],
  );
  assert.deepEqual([await target.generation(), (await target.saved()).state], [before, undefined]);
});

test('told to, it also replaces what is whole, and keeps what it replaced', async () => {
  await inUse();
  const ask: Ask = { ...ALL, atMs: DAY, overwrite: true };
  const { result } = await run({ ask });
  assert.equal(result.ending, 'restored', result.why);
  const replaced = result.counts?.replaced ?? 0;
  assert.equal(
    replaced,
    new Set(history.changes.filter(({ at, pk }) => at >= DAY && pk.startsWith('R#')).map(({ pk }) => pk))
      .size,
  );
  assert.deepEqual(unstamped(await stored()), expected(DAY));
  const kept = await audited('replaced');
  assert.ok(kept.length >= 3 && kept.length % 3 === 0);
  const [region = '', key = ''] = kept[0]?.split(' ') ?? [];
  const lines = (await bucketOf('audit', region).text(key))?.trim().split('\n') ?? [];
  for (const line of lines) assert.equal(copyOf(JSON.parse(line).item).kind, 'whole');
});

test('records that no backup and no journal has are named; a bad backup is refused by name', async () => {
  await inUse();
  const records = [{ tenant: 'acme', collection: 'notes', id: 'nowhere' }];
  const nowhere = await run({ ask: { scope: { kind: 'records', records }, overwrite: false } });
  assert.deepEqual([nowhere.result.ending, nowhere.result.notFound], ['not_all', ['R#acme#notes#nowhere']]);
  const damaged = await run({ ask: { ...ALL, backup: 'daily/1999-01-01/' } });
  assert.equal(damaged.result.ending, 'refused');
  assert.match(damaged.result.why, /no bucket has daily\/1999-01-01\//);
});

async function command(...args: readonly string[]) {
  const env = {
    ...process.env,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  try {
    const ran = await promisify(execFile)(process.execPath, [RESTORE, ...args], { env });
    return { code: 0, ...ran };
  } catch (error) {
    return error as { readonly code: number; readonly stdout: string; readonly stderr: string };
  }
}
const RESTORE = join(import.meta.dirname, '../../bin/restore.ts');

test('as a command: a line of JSON a step, the last one with what came of it', async () => {
  // Closed by an earlier restore, so that nobody has to be waited for.
  const target = targetOf(Target);
  assert.ok(await target.shut(undefined, 'earlier'));
  assert.ok(await target.unshut('earlier', 1));
  assert.ok(await target.shut(await target.generation(), 'earlier'));
  const { code, stdout, stderr } = await command(
    '--all',
    '--yes',
    '--json',
    '--reason',
    'a drill',
    '--endpoint',
    aws.endpoint,
  );
  assert.equal(code, 0, stderr + stdout);
  const lines = stdout
    .trim()
    .split('\n')
    .map((it) => JSON.parse(it));
  const end = lines.at(-1);
  assert.deepEqual([end.step, end.ending, end.exitCode, end.facts.records], ['end', 'restored', 0, RECORDS]);
  const progress = lines.find(({ step }) => step === 'progress');
  assert.ok(progress.done > 0 && progress.total >= progress.done && progress.itemsPerS > 0);
  assert.deepEqual(unstamped(await stored()), expected(LATEST));
});

test('nobody is restored for without being asked, or told not to ask', async () => {
  const { code, stderr } = await command('--all', '--reason', 'x', '--endpoint', 'http://127.0.0.1:9');
  assert.equal(code, 2);
  assert.match(
    stderr,
    /nobody is there to be asked: expected a terminal or --yes[\s\S]*npm run restore -- --record/,
  );
});
