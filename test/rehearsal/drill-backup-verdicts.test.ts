// What the drills that damage and lose data are judged by: each line on an observation that keeps every promise, and on one
// that breaks that line's. A line that cannot fail says nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fired } from '../../rehearsal/drills/backups/alarms.ts';
import { type CorruptionSeen, corruptionLines } from '../../rehearsal/drills/backups/corruption-lines.ts';
import { type LossSeen, lossLines } from '../../rehearsal/drills/backups/loss-lines.ts';
import { restoreSaid } from '../../rehearsal/drills/backups/restore-said.ts';
import { type SabotageSeen, sabotageLines } from '../../rehearsal/drills/backups/sabotage-lines.ts';
import { checkHistory } from '../../rehearsal/drills/checker.ts';
import { judged, type Line } from '../../rehearsal/drills/lines.ts';
import { sha256 } from '../../rehearsal/drills/sync/keep.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';
import { made, whole } from './planted-history.ts';

const STATED = { recovery: stageConfig('dev').recovery };
const CHECKED = checkHistory(whole(), sha256);
const LOST_ONE = checkHistory(whole({ made: [...whole().made, made('east', 9)] }), sha256);
const MEASURED = { itemsPerS: 900, bytesPerItem: 600 };
const alarm = (over: Partial<Fired> = {}): Fired => ({
  ...{ region: 'us-east-1', name: 'a', at: 60_000, why: 'w', topic: 'page', people: 1 },
  ...over,
});
const ended = (exitCode: number, ending: string, says = 'so') => ({
  ...restoreSaid(exitCode, JSON.stringify({ at: 1, step: 'end', says, ending })),
  startedAt: 100_000,
  endedAt: 130_000,
});

/** The labels that miss their targets. */
const missed = (lines: readonly Line[]): readonly string[] =>
  judged(lines)
    .targets.filter(({ passed }) => !passed)
    .map(({ name }) => name);

/** Each over breaks just the lines it names. */
function breaks<Seen>(
  lines: (over: Partial<Seen>) => readonly Line[],
  cases: readonly (readonly [over: Partial<Seen>, ...labels: string[]])[],
): void {
  assert.deepEqual(missed(lines({})), []);
  const tried = new Set<string>();
  for (const [over, ...labels] of cases) {
    assert.deepEqual(missed(lines(over)), labels, JSON.stringify(Object.keys(over)));
    for (const label of labels) tried.add(label);
  }
  const promised = judged(lines({})).targets.map(({ name }) => name);
  const untried = promised.filter((label) => !tried.has(label) && !OF_THE_CHECKER.includes(label));
  assert.deepEqual(untried, [], 'every promise was broken once');
}

/** Tried on histories of their own (drill-checker.test.ts). */
const OF_THE_CHECKER = [
  'acknowledged operations not delivered',
  'operations that took effect twice',
  'other findings of the history checker',
];

test('corruption: every promise can be broken', () => {
  const names = ['t/notes/a', 't/notes/b'];
  const seen: CorruptionSeen = {
    damagedAt: 0,
    damaged: names,
    foundAt: new Map(names.map((name, index) => [name, 30_000 + index])),
    alarm: alarm(),
    restore: ended(0, 'mended'),
    repairedAt: 140_000,
    repaired: 2,
    planted: 100,
    plantedThere: 100,
    closed: 0,
    bare: { calls: 500, failed: 0, longestGapMs: 200 },
    refusedReads: 4,
    wrongReads: 0,
    bareLost: 0,
    bareStored: 90,
    checked: CHECKED,
    measured: MEASURED,
  };
  const lines = (over: Partial<CorruptionSeen>) =>
    corruptionLines({ ...seen, ...over }, { recoveryMs: 900_000, ...STATED });
  breaks<CorruptionSeen>(lines, [
    [{ foundAt: new Map([[names[0] as string, 1]]) }, 'damaged records found by the scrubber'],
    [{ foundAt: new Map() }, 'damaged records found by the scrubber'],
    [{ alarm: undefined }, 'people paged by its alarm', 'damage to the page'],
    [{ alarm: alarm({ people: 0 }) }, 'people paged by its alarm'],
    [{ alarm: alarm({ at: 900_001 }) }, 'damage to the page'],
    [{ restore: ended(1, 'not_all') }, 'npm run restore ended with'],
    [{ repaired: 1 }, 'repaired, as they were in every replica'],
    [{ repairedAt: null }, 'damage to all repaired'],
    [{ repairedAt: 900_000 }, 'damage to all repaired'],
    [{ plantedThere: 99 }, 'planted records there, as they were'],
    [{ closed: 1 }, 'times the table was closed'],
    [{ bare: { calls: 5, failed: 1, longestGapMs: 1 } }, 'bare calls failed, damaged records aside'],
    [{ wrongReads: 1 }, 'reads that gave something damaged'],
    [{ bareLost: 1 }, 'acknowledged bare writes lost'],
    [{ checked: LOST_ONE }, 'acknowledged operations lost'],
    [{ measured: undefined }, 'items a second, gone over here'],
  ]);
});

test('complete loss: every promise can be broken', () => {
  const lost = (answeredAt: number) => ({ key: 'calls/a', answeredAt });
  const seen: LossSeen = {
    lostAt: 1_000_000,
    restore: ended(0, 'restored'),
    openedAt: 1_200_000,
    servedAt: 1_201_000,
    drainedAt: 1_300_000,
    planted: 100,
    plantedThere: 100,
    epochBefore: 5,
    epochAfter: 6,
    generations: ['restoring', 'open'],
    bare: { acknowledged: 90, lost: [lost(999_000)], oldestMs: 1_000 },
    journalsTo: 998_000,
    replayed: 40,
    repeated: 12,
    repeatedAs: { duplicate: 12 },
    forgotten: 3,
    forgottenLost: 1,
    checked: CHECKED,
    measured: MEASURED,
  };
  const lines = (over: Partial<LossSeen>) =>
    lossLines({ ...seen, ...over }, { recoveryMs: 3_600_000, ...STATED });
  breaks<LossSeen>(lines, [
    [{ restore: ended(2, 'x') }, 'npm run restore ended with'],
    [{ generations: ['open'] }, 'the table’s generation meanwhile'],
    [{ generations: ['restoring', 'open', 'open'] }, 'the table’s generation meanwhile'],
    [{ plantedThere: 99 }, 'planted records there, as they were'],
    [{ epochAfter: 5 }, 'restore epoch raised by'],
    [{ openedAt: null }, 'loss to the table open again'],
    [{ servedAt: 4_600_000 }, 'loss to the first bare call served'],
    [{ drainedAt: null }, 'loss to nothing waiting on any device'],
    [{ checked: LOST_ONE }, 'acknowledged operations lost'],
    [{ replayed: 0 }, 'operations that clients sent again'],
    [{ repeated: 0, repeatedAs: {} }, 'of them by copies of one queue file'],
    [
      { bare: { acknowledged: 9, lost: [lost(999_500)], oldestMs: 60_001 } },
      'earliest of them before the loss',
    ],
    [{ journalsTo: 999_001 }, 'of them such as a journal had'],
    [{ journalsTo: null }, 'of them such as a journal had'],
    [{ measured: undefined }, 'records a second, restored here'],
  ]);
});

test('sabotage: every promise can be broken', () => {
  const rotten = 'hourly/2026-11-24T00Z/AWSDynamoDB/x/data/y.json.gz';
  const seen: SabotageSeen = {
    verifiedBefore: 3,
    countedAt: 0,
    failed: 2,
    critical: alarm(),
    rotten,
    verifiedAt: 0,
    verdict: 'corrupted',
    named: [rotten],
    corrupted: alarm(),
    refused: ended(1, 'refused', `hourly/2026-11-24T00Z/: it is corrupted: ${rotten}`),
    older: ended(0, 'mended'),
    olderFrom: 'from daily/2026-11-24/ in us-east-1, which hold 2026-11-24T00:00:00Z',
    damaged: 5,
    repaired: 5,
    anotherFrom: 'from daily/2026-11-24/ in us-east-2, which hold 2026-11-24T00:00:00Z',
    anotherExit: 0,
    failedAfter: 0,
    clearsAfterMs: 7_200_000,
    verifiedAfter: 2,
    regions: 3,
    bareLost: 0,
    bareStored: 90,
    checked: CHECKED,
    measured: MEASURED,
  };
  const limits = { thirdRegion: 'us-east-1', prefix: 'hourly/2026-11-24T00Z/', ...STATED };
  const lines = (over: Partial<SabotageSeen>) => sabotageLines({ ...seen, ...over }, limits);
  const older = 'restore that may choose took an older one';
  const another = 'restore then takes another Region’s';
  breaks<SabotageSeen>(lines, [
    [{ verifiedBefore: 2 }, 'Regions with a verified backup before'],
    [{ failed: 1 }, 'two buckets gone: backup_replicas_failed'],
    [{ failed: null }, 'two buckets gone: backup_replicas_failed'],
    [{ critical: undefined }, 'counted to the critical alarm'],
    [{ critical: alarm({ people: 0 }) }, 'counted to the critical alarm'],
    [{ verdict: 'verified' }, 'verdict of the copy that is left'],
    [{ verdict: undefined }, 'verdict of the copy that is left'],
    [{ named: ['another'] }, 'names the file that was flipped'],
    [{ corrupted: undefined }, 'verified to the corrupted alarm'],
    [{ refused: ended(0, 'mended', rotten) }, 'restore of it ended with'],
    [{ refused: ended(1, 'not_all', rotten) }, 'restore of it ended with'],
    [{ refused: ended(1, 'refused', 'no') }, 'and names the file'],
    [{ older: ended(1, 'not_all') }, older],
    [{ olderFrom: `from ${limits.prefix} in us-east-1` }, older],
    [{ olderFrom: 'from daily/2026-11-24/ in us-east-2' }, older],
    [{ olderFrom: undefined }, older],
    [{ repaired: 4 }, 'records it repaired'],
    [{ failedAfter: 1 }, 'buckets back: backup_replicas_failed'],
    [{ clearsAfterMs: null }, 'the critical alarm is over, by its definition'],
    [{ clearsAfterMs: 7_400_000 }, 'the critical alarm is over, by its definition'],
    [{ verifiedAfter: 1 }, 'Regions with a verified copy of that hour'],
    [{ anotherFrom: 'from daily/2026-11-24/ in us-east-1' }, another],
    [{ anotherExit: 1 }, another],
    [{ bareLost: 1 }, 'acknowledged bare writes lost'],
    [{ checked: LOST_ONE }, 'acknowledged operations lost'],
    [{ measured: undefined }, 'items a second, gone over here'],
  ]);
});
