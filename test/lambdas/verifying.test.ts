// The verification of backups: whole days of them, interrupted at every step; and each way in which one can be wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  beginVerification,
  FILE_ATTEMPTS_MAX,
  fileBegun,
  fileChecked,
  nextStep,
  pageLocked,
  pageReadBack,
  partLoaded,
  resumeVerification,
  type Step,
  type Surroundings,
  tableLost,
  tableMade,
  type VerificationState,
} from '../../lambdas/core/verifying.ts';
import { type BackupVerdict, parseBackupVerdict } from '../../protocol/backup-verdicts.ts';
import { backupPrefix, DAY_MS, HOUR_MS, VERDICT_FILE } from '../../protocol/backups.ts';
import type { ExportedItem, ExportSummary } from '../../protocol/export-files.ts';
import {
  CONTROL,
  changesOf,
  checkFile,
  DAY,
  type Exported,
  exported,
  itemsOf,
  recordItem,
  type Table,
  tableOf,
} from './exports.ts';

const NOW = DAY + 3 * HOUR_MS;
const daily = backupPrefix({ tier: 'daily', tickMs: DAY });
const hourly = (hours: number) => backupPrefix({ tier: 'hourly', tickMs: DAY + hours * HOUR_MS });
const around = (...verdicts: readonly BackupVerdict[]): Surroundings => ({
  verdicts: new Map(verdicts.map((verdict) => [verdict.prefix, verdict])),
});

interface Run {
  readonly surroundings?: Surroundings;
  readonly scratchTable?: string;
  /** What the files hold in place of what they should. */
  readonly read?: (at: number) => readonly string[] | undefined;
  /** What the scratch table gives back in place of all of it. */
  readonly lost?: number;
  /** Asked before every step: whether the invocation ends here. */
  readonly cut?: () => boolean;
  readonly steps?: Step[];
}

/** Carries a verification through, as a function would; the state goes through JSON as it does on its way. */
function verify(subject: Exported, run: Run = {}): BackupVerdict | Extract<Step, { kind: 'wait' }> {
  const { surroundings = around(), scratchTable, read, lost = 0, cut = () => false, steps = [] } = run;
  const begin = { nowMs: NOW, ...(scratchTable !== undefined && { scratchTable }) };
  let state = beginVerification(subject, begin);
  for (let count = 0; count < 1_000; count += 1) {
    if (cut()) state = resumeVerification(JSON.parse(JSON.stringify(state)), subject, begin);
    const step = nextStep(state, subject, surroundings, NOW + 1);
    steps.push(step);
    if (step.kind === 'wait') return step;
    if (step.kind === 'conclude') return step.verdict;
    state = taken(state, step, subject, read, lost);
  }
  throw new Error('expected the verification to end');
}

function taken(
  state: VerificationState,
  step: Exclude<Step, { kind: 'wait' | 'conclude' }>,
  subject: Exported,
  read: Run['read'],
  lost: number,
): VerificationState {
  if (step.kind === 'check_file')
    return fileChecked(fileBegun(state), checkFile(subject, step.index, read?.(step.index)));
  if (step.kind === 'lock') return pageLocked(state, step.after === undefined ? 'page 1' : undefined);
  if (step.kind === 'make_table') return tableMade(state);
  if (step.kind === 'load') {
    const index = subject.files.indexOf(step.file);
    // In two parts: the second goes on where the first ended.
    const lines = (read?.(index) ?? subject.lines[index] ?? []).slice(step.fromLine);
    const half = lines.slice(0, Math.ceil(lines.length / 2));
    const { records, controls, digest } = checkFile(subject, index, half);
    const isWhole = half.length === lines.length;
    return partLoaded(state, { records, controls, digest, lines: half.length, bytes: 1, isWhole }, []);
  }
  // Pages of one file each.
  const page = Number(step.after ?? 0);
  const report = checkFile(subject, page);
  return pageReadBack(state, {
    records: report.records - (page === 0 ? lost : 0),
    controls: report.controls,
    digest: report.digest,
    after: page + 1 < subject.files.length ? String(page + 1) : undefined,
  });
}

function verdictOf(subject: Exported, run: Run = {}): BackupVerdict {
  const verdict = verify(subject, run);
  assert.ok('verdict' in verdict, `waits for ${JSON.stringify(verdict)}`);
  return verdict;
}

const NOTES = Array.from({ length: 7 }, (_, at) => recordItem(`n${at}`, DAY - 100 + at, `{"n":${at}}`));
const TABLE = tableOf(...NOTES, recordItem('gone', DAY - 50, undefined), CONTROL);
const full = exported('daily', DAY, itemsOf(TABLE));

test('a whole backup is verified: every file, every count, once each', () => {
  const steps: Step[] = [];
  const verdict = verdictOf(full, { steps });
  assert.deepEqual(
    steps.map(({ kind }) => kind),
    ['check_file', 'check_file', 'check_file', 'conclude'],
  );
  assert.equal(verdict.verdict, 'verified');
  assert.deepEqual([verdict.files, verdict.items, verdict.records, verdict.controls], [3, 9, 8, 1]);
  assert.deepEqual([verdict.state.records, verdict.loaded, verdict.problems], [8, false, []]);
  const text = JSON.stringify(verdict);
  assert.deepEqual(parseBackupVerdict(text, `${daily}${VERDICT_FILE}`), verdict);
});

test('it is the same verdict wherever the work was interrupted', () => {
  const whole = verdictOf(full, { scratchTable: 'scratch' });
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }), (cuts) => {
      let at = 0;
      const verdict = verdictOf(full, { scratchTable: 'scratch', cut: () => cuts[at++] ?? false });
      assert.deepEqual({ ...verdict, invocations: 1 }, whole);
    }),
    { numRuns: 30 },
  );
});

test('an empty table has a backup that is verified too', () => {
  const verdict = verdictOf(exported('daily', DAY, [], { files: 1 }));
  assert.deepEqual([verdict.verdict, verdict.items, verdict.state.records], ['verified', 0, 0]);
});

test('the state stays small, however many files and problems there are', () => {
  const lines = Array.from({ length: 400 }, () => '{}');
  const many = exported('daily', DAY, lines, { files: 200 });
  let state = beginVerification(many, { nowMs: NOW, scratchTable: 'scratch' });
  for (let at = 0; at < 200; at += 1) state = fileChecked(fileBegun(state), checkFile(many, at));
  assert.equal(state.problemCount, 400);
  assert.ok(JSON.stringify(state).length < 8_000);
});

test('a damaged file makes a verdict that names it, and a restore must not take it', () => {
  const damaged = full.lines.map((lines) => lines.map((line) => line.replace('{\\"n\\":4}', '{\\"n\\":5}')));
  const verdict = verdictOf(full, { read: (at) => damaged[at] });
  assert.equal(verdict.verdict, 'corrupted');
  assert.equal(verdict.problemCount, 2);
  assert.deepEqual(
    verdict.problems.map(({ file, line, pk }) => [file, line, pk]),
    [
      [`${daily}AWSDynamoDB/data/1.json.gz`, 2, 'R#acme#notes#n4'],
      [`${daily}AWSDynamoDB/data/1.json.gz`, undefined, undefined],
    ],
  );
});

test('manifests of another export, another time or another sum are found before any file is read', () => {
  const other = (change: Partial<ExportSummary>): Exported => ({
    ...full,
    summary: { ...full.summary, ...change },
  });
  const cases: readonly (readonly [Partial<ExportSummary>, RegExp])[] = [
    [{ exportArn: 'arn:other' }, /^expected the export arn:\S+, got arn:other$/],
    [{ tableArn: 'arn:other' }, /^expected an export of arn:\S+, got arn:other$/],
    [{ kind: 'incremental', fromMs: 1 }, /^expected an export that is full, got incremental$/],
    [{ toMs: DAY + 1 }, /^expected an export up to \d+, got \d+$/],
    [{ itemCount: 10 }, /^expected data files that together have the items of the summary, 10, got 9$/],
  ];
  for (const [change, what] of cases) {
    const state = beginVerification(other(change), { nowMs: NOW });
    assert.ok(
      state.problems.some((problem) => what.test(problem.what)),
      JSON.stringify(state.problems),
    );
    assert.equal(verdictOf(other(change)).verdict, 'corrupted');
  }
});

test('a file that is never read to its end becomes a verdict, not a loop', () => {
  let state = beginVerification(full, { nowMs: NOW });
  for (let attempt = 1; attempt <= FILE_ATTEMPTS_MAX; attempt += 1) {
    assert.equal(nextStep(state, full, around(), NOW).kind, 'check_file');
    state = resumeVerification(fileBegun(state), full, { nowMs: NOW });
  }
  const step = nextStep(state, full, around(), NOW);
  assert.ok(step.kind === 'conclude' && step.verdict.verdict === 'corrupted');
  assert.match(step.verdict.problems[0]?.what ?? '', /^expected to be read within 3 invocations/);
});

test('files that changed, or an export made again, are begun anew', () => {
  const state = fileChecked(fileBegun(beginVerification(full, { nowMs: NOW })), checkFile(full, 0));
  assert.equal(resumeVerification(state, full, { nowMs: NOW }).filesDone, 1);
  for (const other of [
    { ...full, manifest: 'other' },
    { ...full, backup: { ...full.backup, exportArn: 'arn:again' } },
  ])
    assert.equal(resumeVerification(state, other, { nowMs: NOW }).filesDone, 0);
});

test('what was loaded is read back, and must be all of it', () => {
  const steps: Step[] = [];
  const verdict = verdictOf(full, { scratchTable: 'scratch', steps });
  assert.equal(verdict.verdict, 'verified');
  assert.equal(verdict.loaded, true);
  assert.equal(verdict.loadedFiles, 3);
  assert.deepEqual(
    steps.map(({ kind }) => kind).filter((kind, at, all) => kind !== all[at - 1]),
    ['check_file', 'make_table', 'load', 'read_back', 'conclude'],
  );
  const lost = verdictOf(full, { scratchTable: 'scratch', lost: 1 });
  assert.match(
    lost.problems[0]?.what ?? '',
    /^expected 8 records of digest \w+ and 1 control items in the scratch table, got 7 records of/,
  );
});

test('a scratch table that is lost is made and loaded anew, and the verdict is the same', () => {
  const begin = { nowMs: NOW, scratchTable: 'scratch' };
  let state = beginVerification(full, begin);
  let losses = 0;
  for (let count = 0; ; count += 1) {
    assert.ok(count < 100, 'expected it to end');
    const step = nextStep(state, full, around(), NOW + 1);
    if (step.kind === 'conclude') {
      assert.deepEqual([step.verdict.verdict, step.verdict.loaded, losses], ['verified', true, 2]);
      return;
    }
    assert.ok(step.kind !== 'wait');
    if ((step.kind === 'load' || step.kind === 'read_back') && losses < 2 && count % 3 === 0) {
      losses += 1;
      state = tableLost(state);
      assert.equal(nextStep(state, full, around(), NOW).kind, 'make_table');
    } else state = taken(state, step, full, undefined, 0);
  }
});

test('a verified backup of a long tier is locked before its verdict, a corrupted one is not', () => {
  const long = { ...full, lockUntilMs: DAY + 30 * DAY_MS };
  const steps: Step[] = [];
  assert.equal(verdictOf(long, { steps }).verdict, 'verified');
  assert.deepEqual(
    steps.slice(3).map((step) => (step.kind === 'lock' ? [step.after, step.untilMs] : step.kind)),
    [[undefined, DAY + 30 * DAY_MS], ['page 1', DAY + 30 * DAY_MS], 'conclude'],
  );
  const spoilt: Step[] = [];
  verdictOf(long, { steps: spoilt, read: () => [] });
  assert.ok(!spoilt.some(({ kind }) => kind === 'lock'));
});

/** Hours of a day, each with its changes on top of the ones before it. */
function hoursOf(tables: readonly Table[]): readonly Exported[] {
  return tables.slice(1).map((table, at) => {
    const chain = [daily, ...Array.from({ length: at }, (_, before) => hourly(before + 1))];
    const lines = changesOf(tables[at] as Table, table, DAY + at * HOUR_MS + 5);
    return exported('hourly', DAY + (at + 1) * HOUR_MS, lines, { chain, files: 1 });
  });
}

const EDITED = tableOf(
  ...NOTES.slice(2),
  recordItem('n0', DAY + 1, '{"n":"edited"}'),
  recordItem('new', DAY + 2, '[]'),
  CONTROL,
);
const AGAIN = tableOf(...EDITED.values(), recordItem('newer', DAY + HOUR_MS + 2, '[]'));
const [one, two] = hoursOf([TABLE, EDITED, AGAIN]) as [Exported, Exported];
const base = verdictOf(full);

test('an incremental backup is applied to its chain, and comes to what a full one of that moment shows', () => {
  const first = verdictOf(one, { surroundings: around(base) });
  assert.deepEqual(
    [first.verdict, first.kind, first.state.records],
    ['verified', 'incremental', EDITED.size - 1],
  );
  const second = verdictOf(two, { surroundings: around(base, first) });
  const fullOfThen = verdictOf(exported('daily', DAY + 2 * HOUR_MS, itemsOf(AGAIN)));
  assert.deepEqual(second.state, fullOfThen.state);
});

test('random days, hour by hour, come to the state of the next full backup', () => {
  const change = fc.tuple(
    fc.nat({ max: 9 }),
    fc.option(fc.json(), { nil: undefined, freq: 4 }),
    fc.boolean(),
  );
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 6 }), { minLength: 1, maxLength: 5 }), (hours) => {
      const tables: Table[] = [TABLE];
      for (const [hour, changes] of hours.entries()) {
        const items = new Map(tables.at(-1));
        for (const [n, payload, sweep] of changes) {
          const item = recordItem(`n${n}`, DAY + hour * HOUR_MS + 7, payload);
          if (sweep) items.delete(JSON.stringify(item['pk']));
          else items.set(JSON.stringify(item['pk']), item);
        }
        tables.push(items);
      }
      const verdicts = [base];
      for (const hour of hoursOf(tables))
        verdicts.push(verdictOf(hour, { surroundings: around(...verdicts) }));
      const end = verdictOf(exported('daily', DAY + DAY_MS, itemsOf(tables.at(-1) as Table)));
      assert.ok(verdicts.every(({ verdict }) => verdict === 'verified'));
      assert.deepEqual(verdicts.at(-1)?.state, end.state);
    }),
    { numRuns: 25 },
  );
});

test('waits for the verdicts of its chain, unless it is itself damaged', () => {
  const waits = verify(two, { surroundings: around(base) });
  assert.deepEqual(waits, { kind: 'wait', prefix: hourly(1) });
  assert.equal(verdictOf(two, { surroundings: around(base), read: () => [] }).verdict, 'corrupted');
});

test('a chain that is corrupted, has a gap, or does not begin with a full backup spoils what stands on it', () => {
  const first = verdictOf(one, { surroundings: around(base) });
  const cases: readonly (readonly [Surroundings, RegExp])[] = [
    [
      around(base, { ...first, verdict: 'corrupted' }),
      /^expected its chain to be verified, hourly\/\S+ is not$/,
    ],
    [around({ ...base, kind: 'incremental' }, first), /^expected one full backup at the beginning/],
    [around({ ...base, toMs: DAY - 1 }, first), /^expected its chain to have no gap, hourly\/\S+ begins at/],
    [around(base, { ...first, toMs: first.toMs + 1 }), /^expected to go on from \d+, where hourly\/\S+ ends/],
    [
      around(base, { ...first, state: { ...first.state, records: -5 } }),
      /^expected no more records to go than its chain has/,
    ],
  ];
  for (const [surroundings, what] of cases) {
    const { verdict, problems } = verdictOf(two, { surroundings });
    assert.equal(verdict, 'corrupted');
    assert.ok(
      problems.some((problem) => what.test(problem.what)),
      JSON.stringify(problems),
    );
  }
});

test('a chain that does not come to what a full backup of the same moment shows is corrupted; the full one stands', () => {
  const midnight = DAY + DAY_MS;
  const chain = { chain: [daily], fromMs: DAY, files: 1 };
  const last = exported('hourly', midnight, changesOf(TABLE, EDITED, DAY + 5), chain);
  const missed = exported('daily', midnight, itemsOf(tableOf(...[...EDITED.values()].slice(1))));
  const next = backupPrefix({ tier: 'daily', tickMs: midnight });
  const applied = verdictOf(last, { surroundings: { ...around(base, verdictOf(missed)), sameMoment: next } });
  assert.equal(applied.verdict, 'corrupted');
  assert.deepEqual(applied.compared, { prefix: next, same: false });
  assert.match(
    applied.problems[0]?.what ?? '',
    /^expected its chain to come to the \d+ records that daily\//,
  );
  const agreeing = verdictOf(exported('daily', midnight, itemsOf(EDITED)));
  const both = verdictOf(last, { surroundings: { ...around(base, agreeing), sameMoment: next } });
  assert.deepEqual([both.verdict, both.compared], ['verified', { prefix: next, same: true }]);
  const sameMoment = backupPrefix({ tier: 'hourly', tickMs: midnight });
  const second = verdictOf(missed, { surroundings: { ...around(both), sameMoment } });
  assert.deepEqual([second.verdict, second.compared], ['verified', { prefix: sameMoment, same: false }]);
});

test('a verdict that is none, or another backup’s, is refused by its key', () => {
  const key = `${daily}${VERDICT_FILE}`;
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{ ...base, format: 2 }, /format 1/],
    [{ ...base, verdict: 'verified', problemCount: 1 }, /format 1/],
    [{ ...base, state: { records: 1, digest: 'x' } }, /format 1/],
    [{ ...base, prefix: hourly(1) }, /expected the verdict of the backup beside it, got one of hourly/],
    ['x', /format 1/],
    [null, /format 1/],
  ];
  for (const [value, message] of cases)
    assert.throws(
      () => parseBackupVerdict(JSON.stringify(value), key),
      (error: Error) =>
        error instanceof TypeError && error.message.startsWith(key) && message.test(error.message),
    );
  assert.throws(() => parseBackupVerdict('{', key), TypeError);
});

test('a record that was damaged in the table itself is found in every full backup of it', () => {
  const item = { ...NOTES[0], payload: { S: '{"n":"x"}' } } as ExportedItem;
  const verdict = verdictOf(exported('daily', DAY, itemsOf(tableOf(item))));
  assert.deepEqual([verdict.verdict, verdict.problems[0]?.pk], ['corrupted', 'R#acme#notes#n0']);
});
