// A backup through a scratch table: loaded file by file, read back, compared, and the table gone afterwards, whatever
// becomes of the verification. What goes wrong with the table is never the backup's fault.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createVerification } from '../../lambdas/routes/verification.ts';
import type { SavedVerification, VerificationLog } from '../../lambdas/store/verification-items.ts';
import { type BackupVerdict, parseBackupVerdict } from '../../protocol/backup-verdicts.ts';
import { DAY_MS, HOUR_MS, VERDICT_FILE } from '../../protocol/backups.ts';
import { Bucket } from './backup-world.ts';
import { CONTROL, DAY, type Exported, exported, itemsOf, recordItem, tableOf } from './exports.ts';
import { REGIONS, Recorder } from './functions.ts';
import { MemoryScratch, throttled } from './scratch-world.ts';
import { md5, stand } from './standing-backup.ts';

const ITEMS = Array.from({ length: 40 }, (_, at) =>
  recordItem(`n${at}`, DAY - 99 + at, at % 9 === 0 ? undefined : `{"n":${at}}`),
);
const FULL = exported('daily', DAY, itemsOf(tableOf(...ITEMS, CONTROL)), { files: 4 });
const daily = 'daily/2026-11-24/';
const SCRATCH = 'eden-field-dev-scratch-daily-2026-11-24';
/** Whose turn it is on that day. */
const [turn = assert.fail()] = Object.entries(REGIONS)
  .filter(([, region]) => [...Object.values(REGIONS)].sort()[Math.floor(DAY / DAY_MS) % 3] === region)
  .map(([role]) => role as keyof typeof REGIONS);

class World {
  readonly bucket = new Bucket();
  readonly scratch = new MemoryScratch();
  readonly saved = new Map<string, SavedVerification>();
  readonly telemetry = new Recorder();
  role = turn;
  nowMs = DAY + 2 * HOUR_MS;
  /** So long takes every call to the scratch table. */
  callMs = 0;

  constructor(...backups: readonly Exported[]) {
    for (const backup of backups) stand(this.bucket, backup);
  }

  readonly log: VerificationLog = {
    load: async (what) => this.saved.get(what) ?? { revision: 0, state: undefined },
    save: async (what, saved) => {
      if ((this.saved.get(what)?.revision ?? 0) !== saved.revision - 1) return false;
      this.saved.set(what, saved);
      return true;
    },
  };

  async run(): Promise<void> {
    const { before } = this.scratch;
    this.scratch.before = (...call) => {
      this.nowMs += this.callMs;
      before(...call);
    };
    try {
      await createVerification({
        place: { stage: 'dev', role: this.role, region: REGIONS[this.role], regions: REGIONS },
        telemetry: this.telemetry,
        now: () => this.nowMs,
        log: this.log,
        places: [{ tiers: ['hourly', 'daily', 'weekly'], store: this.bucket }],
        lockDays: {},
        journal: async () => {},
        scratch: { tables: this.scratch, prefix: 'eden-field-dev-scratch-' },
      })();
    } finally {
      this.scratch.before = before;
    }
  }

  verdict(): BackupVerdict | undefined {
    const key = `${daily}${VERDICT_FILE}`;
    const text = this.bucket.objects.get(key);
    return text === undefined ? undefined : parseBackupVerdict(text, key);
  }
}

test('all of it is loaded, control items too, read back, and the table is deleted', async () => {
  const world = new World(FULL);
  await world.run();
  const verdict = world.verdict();
  assert.deepEqual(
    [verdict?.verdict, verdict?.loaded, verdict?.loadedFiles, verdict?.problems],
    ['verified', true, 4, []],
  );
  assert.equal(world.scratch.tables.size, 0);
  assert.deepEqual(world.telemetry.errors, []);
  const before = world.scratch.calls.length;
  await world.run();
  assert.equal(world.scratch.calls.length, before, 'what has its verdict is left alone');
});

test('whose turn it is not loads nothing', async () => {
  for (const role of Object.keys(REGIONS) as (keyof typeof REGIONS)[]) {
    const world = new World(FULL);
    world.role = role;
    await world.run();
    assert.equal(world.verdict()?.verdict, 'verified');
    assert.equal(world.verdict()?.loaded, role === turn);
  }
});

test('what is damaged already is not loaded', async () => {
  const world = new World(FULL);
  world.bucket.files.set(FULL.files[2]?.key ?? '', gzipSync(''));
  await world.run();
  assert.equal(world.verdict()?.verdict, 'corrupted');
  assert.deepEqual(world.scratch.calls, []);
});

test('goes on where its time was up, in the middle of a file and of reading back', async () => {
  const world = new World(exported('daily', DAY, itemsOf(tableOf(...ITEMS)), { files: 2 }));
  world.scratch.pageItems = 1;
  world.callMs = 250_000;
  for (let run = 1; world.verdict() === undefined; run += 1) {
    assert.ok(run < 30, 'expected it to end');
    await world.run();
  }
  assert.deepEqual([world.verdict()?.verdict, world.verdict()?.loaded], ['verified', true]);
  assert.equal(world.scratch.calls.filter((call) => call === 'make').length, 1);
  assert.equal(world.scratch.tables.size, 0);
});

for (const call of ['make', 'put', 'page'] as const)
  test(`a table that is throttled on ${call} is no verdict: the next invocation goes on`, async () => {
    const world = new World(FULL);
    world.scratch.before = (it) => {
      if (it === call) throw throttled();
    };
    for (let run = 0; run < 2; run += 1) {
      await assert.rejects(world.run(), /not every verification could go on/);
      assert.equal(world.verdict(), undefined);
    }
    world.scratch.before = () => {};
    await world.run();
    assert.deepEqual([world.verdict()?.verdict, world.verdict()?.loaded], ['verified', true]);
    assert.equal(world.scratch.tables.size, 0);
  });

test('while it cannot be made the verdict is late, and that is told', async () => {
  const world = new World(FULL);
  world.scratch.before = () => {
    throw throttled();
  };
  world.nowMs = DAY + DAY_MS;
  await assert.rejects(world.run());
  const { value } = world.telemetry.samples.find(({ name }) => name === 'backup_unverified_age') ?? {};
  assert.ok(Number(value) > 0);
  assert.equal(world.telemetry.samples.find(({ name }) => name === 'backup_corrupted')?.value, 0);
});

test('a table that somebody deletes meanwhile is made and loaded again', async () => {
  const world = new World(FULL);
  let puts = 0;
  world.scratch.before = (call, table) => {
    puts += call === 'put' ? 1 : 0;
    if (puts === 3 && call === 'put') world.scratch.tables.delete(table);
  };
  await world.run();
  assert.equal(world.verdict(), undefined);
  assert.match(world.telemetry.errors[0] ?? '', /a scratch table is lost/);
  await world.run();
  assert.deepEqual([world.verdict()?.verdict, world.verdict()?.loaded], ['verified', true]);
});

test('what another invocation left in the table does not count', async () => {
  const world = new World(FULL);
  world.scratch.tables.set(SCRATCH, new Map([['x', recordItem('stranger', DAY, '{}')]]));
  await world.run();
  assert.deepEqual([world.verdict()?.verdict, world.verdict()?.loaded], ['verified', true]);
});

test('an item that DynamoDB does not take is the backup’s fault, and named; the table goes', async () => {
  const world = new World(FULL);
  world.scratch.refuses = ({ pk }) =>
    JSON.stringify(pk).includes('#n7"') ? 'Item size has exceeded the maximum allowed size' : undefined;
  await world.run();
  const verdict = world.verdict();
  assert.equal(verdict?.verdict, 'corrupted');
  assert.deepEqual(
    verdict?.problems.map(({ pk, what }) => [pk, what]),
    [
      [
        'R#acme#notes#n7',
        'expected an item that DynamoDB takes, got: Item size has exceeded the maximum allowed size',
      ],
    ],
  );
  assert.equal(world.scratch.tables.size, 0);
});

test('two items of one key are found: the table holds one of them', async () => {
  const twice = [...itemsOf(tableOf(...ITEMS)), ...itemsOf(tableOf(ITEMS[5] ?? assert.fail()))];
  const world = new World(exported('daily', DAY, twice));
  await world.run();
  assert.match(
    world.verdict()?.problems[0]?.what ?? '',
    /^expected 41 records of digest \w+ and 0 control items in the scratch table, got 40 records/,
  );
});

test('what comes out with another payload is found', async () => {
  const world = new World(FULL);
  world.scratch.before = (call, table) => {
    if (call !== 'page') return;
    for (const item of world.scratch.tables.get(table)?.values() ?? [])
      if (JSON.stringify(item['pk']).includes('#n8"')) Object.assign(item, { payload: { S: '{"n":0}' } });
  };
  await world.run();
  assert.match(world.verdict()?.problems[0]?.what ?? '', /in the scratch table, got 39 records/);
});

test('a file that changes between its check and its load is named', async () => {
  const world = new World(FULL);
  const [, file = assert.fail()] = FULL.files;
  world.scratch.before = (call) => {
    if (call === 'make') world.bucket.files.set(file.key, gzipSync('no line\n'));
  };
  await world.run();
  const { verdict, problems } = world.verdict() ?? assert.fail('no verdict');
  assert.deepEqual([verdict, problems[0]?.file], ['corrupted', file.key]);
  assert.match(problems[0]?.what ?? '', /^expected to read again as when it was checked/);
});

test('a table that cannot be deleted is deleted by a later invocation, also when its backup was made again', async () => {
  const world = new World(FULL);
  world.scratch.before = (call) => {
    if (call === 'drop') throw throttled();
  };
  await assert.rejects(world.run());
  assert.equal(world.verdict()?.verdict, 'verified', 'the verdict stands');
  assert.equal(world.scratch.tables.size, 1);
  assert.match(world.telemetry.errors[0] ?? '', /a scratch table could not be deleted/);
  world.scratch.before = () => {};
  await world.run();
  assert.equal(world.scratch.tables.size, 0);
});

test('a table whose verification died is deleted once its backup is looked at no more', async () => {
  const world = new World(FULL);
  world.scratch.before = (call) => {
    if (call === 'put') throw new Error('the environment is gone');
  };
  await assert.rejects(world.run());
  assert.equal(world.scratch.tables.size, 1);
  world.nowMs += 9 * DAY_MS;
  world.scratch.before = () => {};
  await world.run();
  assert.equal(world.verdict(), undefined);
  assert.equal(world.scratch.tables.size, 0);
});

test('an empty backup is loaded too, and an empty file without a byte', async () => {
  const world = new World(exported('daily', DAY, [], { files: 1 }));
  world.bucket.files.set(`${daily}AWSDynamoDB/data/0.json.gz`, new Uint8Array());
  const manifest = [...world.bucket.objects].find(([key]) => key.endsWith('manifest-files.json'));
  const [key = '', text = ''] = manifest ?? [];
  const changed = text.replace(/"md5Checksum":"[^"]*"/, `"md5Checksum":"${md5('')}"`);
  world.bucket.objects.set(key, changed);
  world.bucket.objects.set(key.replace(/\.json$/, '.md5'), md5(changed));
  await world.run();
  assert.deepEqual([world.verdict()?.verdict, world.verdict()?.loaded], ['verified', true]);
});
