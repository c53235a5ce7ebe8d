import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  AlarmBoard,
  type AlarmDefinition,
  type AlarmStateValue,
  evaluateAlarm,
  type MissingData,
  readAlarm,
  type StatisticSet,
} from '../../rehearsal/cloudwatch.ts';

const MINUTE = 60_000;
const NOW = 1_800_000_000_000 - (1_800_000_000_000 % MINUTE);

const alarm: AlarmDefinition = {
  region: 'us-west-2',
  name: 'too-many',
  description: '',
  namespace: 'EdenField',
  metric: 'errors',
  dimensions: { Stage: 'dev' },
  statistic: 'Maximum',
  periodS: 60,
  evaluationPeriods: 3,
  datapointsToAlarm: 3,
  comparison: 'GreaterThanThreshold',
  threshold: 0,
  missingData: 'missing',
};

/** `0 - X`: within the threshold, nothing, beyond it; the last is the period that ended at NOW. */
function series(row: string): StatisticSet[] {
  const periods = row.split(' ');
  return periods.flatMap((mark, index) => {
    const fromMs = NOW - (periods.length - index) * MINUTE;
    const value = mark === 'X' ? 1 : 0;
    return mark === '-' ? [] : [{ fromMs, count: 1, sum: value, min: value, max: value }];
  });
}

const KEEP = 'Retain current state';
const MISSING_DATA: readonly MissingData[] = ['missing', 'ignore', 'breaching', 'notBreaching'];

// The tables of https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html and the
// patterns its text names; columns in the order of MISSING_DATA.
const TABLE: readonly (readonly [number, string, ...string[]])[] = [
  [3, '0 - X - X', 'OK', 'OK', 'OK', 'OK'],
  [3, '0 - - - -', 'OK', 'OK', 'OK', 'OK'],
  [3, '- - - - -', 'INSUFFICIENT_DATA', KEEP, 'ALARM', 'OK'],
  [3, '0 X X - X', 'ALARM', 'ALARM', 'ALARM', 'ALARM'],
  [3, '- - X - -', 'ALARM', KEEP, 'ALARM', 'OK'],
  [3, '- - - - X', 'OK', KEEP, 'ALARM', 'OK'],
  [3, '- - - X -', 'OK', KEEP, 'ALARM', 'OK'],
  [2, '0 - X - X', 'ALARM', 'ALARM', 'ALARM', 'ALARM'],
  [2, '0 0 X 0 X', 'ALARM', 'ALARM', 'ALARM', 'ALARM'],
  [2, '0 - X - -', 'OK', 'OK', 'ALARM', 'OK'],
  [2, '- - - - 0', 'OK', 'OK', 'ALARM', 'OK'],
  [2, '- - - X -', 'ALARM', KEEP, 'ALARM', 'OK'],
];

for (const [datapointsToAlarm, row, ...columns] of TABLE)
  for (const [index, missingData] of MISSING_DATA.entries())
    test(`${datapointsToAlarm} of 3 with ${row} and missing data ${missingData} is ${columns[index]}`, () => {
      for (const current of ['OK', 'ALARM', 'INSUFFICIENT_DATA'] as const) {
        const definition = { ...alarm, datapointsToAlarm, missingData };
        const { state } = evaluateAlarm(definition, series(row), NOW, current);
        assert.equal(state, columns[index] === KEEP ? current : columns[index]);
      }
    });

test('what lies in the minute that has not ended does not count yet', () => {
  const sets = series('0 0 0 0 0').concat({ fromMs: NOW, count: 1, sum: 9, min: 9, max: 9 });
  const once = { ...alarm, evaluationPeriods: 1, datapointsToAlarm: 1 };
  assert.equal(evaluateAlarm(once, sets, NOW + 59_999, 'OK').state, 'OK');
  assert.equal(evaluateAlarm(once, sets, NOW + MINUTE, 'OK').state, 'ALARM');
});

test('an alarm of ten-second periods is evaluated every ten seconds', () => {
  const quick = { ...alarm, periodS: 10, evaluationPeriods: 1, datapointsToAlarm: 1 };
  const sets = [{ fromMs: NOW, count: 1, sum: 9, min: 9, max: 9 }];
  assert.equal(evaluateAlarm(quick, sets, NOW + 9_999, 'OK').state, 'INSUFFICIENT_DATA');
  assert.equal(evaluateAlarm(quick, sets, NOW + 10_000, 'OK').state, 'ALARM');
});

test('each statistic and each comparison', () => {
  const sets = [
    { fromMs: NOW - MINUTE, count: 2, sum: 10, min: 4, max: 6 },
    { fromMs: NOW - 30_000, count: 2, sum: 2, min: 0, max: 2 },
  ];
  const state = (change: Partial<AlarmDefinition>) =>
    evaluateAlarm({ ...alarm, evaluationPeriods: 1, datapointsToAlarm: 1, ...change }, sets, NOW, 'OK').state;
  const equal = { comparison: 'GreaterThanOrEqualToThreshold' } as const;
  for (const [statistic, value] of [
    ['SampleCount', 4],
    ['Sum', 12],
    ['Average', 3],
    ['Minimum', 0],
    ['Maximum', 6],
  ] as const) {
    assert.equal(state({ ...equal, statistic, threshold: value }), 'ALARM', statistic);
    assert.equal(state({ ...equal, statistic, threshold: value + 0.001 }), 'OK', statistic);
  }
  assert.equal(state({ statistic: 'Sum', comparison: 'GreaterThanThreshold', threshold: 12 }), 'OK');
  assert.equal(state({ statistic: 'Sum', comparison: 'LessThanThreshold', threshold: 12 }), 'OK');
  assert.equal(state({ statistic: 'Sum', comparison: 'LessThanThreshold', threshold: 12.5 }), 'ALARM');
  assert.equal(state({ statistic: 'Sum', comparison: 'LessThanOrEqualToThreshold', threshold: 12 }), 'ALARM');
});

test('says in words what it saw and what it compared with', () => {
  const { why } = evaluateAlarm(alarm, series('0 - X - X'), NOW, 'OK');
  assert.match(why, /Maximum of errors per 60 s: 1\.000, missing, 1\.000; alarms when 3 of 3/);
});

const marks = fc.array(fc.constantFrom('0', 'X', '-'), { minLength: 5, maxLength: 5 });

test('with enough real points the treatment of missing ones never matters', () => {
  fc.assert(
    fc.property(marks, fc.integer({ min: 1, max: 3 }), (row, datapointsToAlarm) => {
      fc.pre(row.filter((mark) => mark !== '-').length >= 3);
      const states = new Set(
        MISSING_DATA.flatMap((missingData) =>
          (['OK', 'ALARM'] as const).map(
            (current) =>
              evaluateAlarm({ ...alarm, datapointsToAlarm, missingData }, series(row.join(' ')), NOW, current)
                .state,
          ),
        ),
      );
      assert.equal(states.size, 1);
    }),
  );
});

test('breaching alarms whenever any other treatment does, and notBreaching never without M bad points', () => {
  fc.assert(
    fc.property(marks, fc.integer({ min: 1, max: 3 }), (row, datapointsToAlarm) => {
      const by = (missingData: MissingData): AlarmStateValue =>
        evaluateAlarm({ ...alarm, datapointsToAlarm, missingData }, series(row.join(' ')), NOW, 'OK').state;
      if (by('missing') === 'ALARM' || by('notBreaching') === 'ALARM') assert.equal(by('breaching'), 'ALARM');
      if (by('notBreaching') === 'ALARM')
        assert.ok(row.filter((mark) => mark === 'X').length >= datapointsToAlarm);
    }),
  );
});

const template = {
  AlarmName: 'too-many',
  Namespace: 'EdenField',
  MetricName: 'errors',
  Dimensions: [{ Name: 'Stage', Value: 'dev' }],
  Statistic: 'Sum',
  Period: 60,
  EvaluationPeriods: 5,
  Threshold: 3,
  ComparisonOperator: 'GreaterThanThreshold',
};

test('reads an alarm from its template, with the defaults of CloudFormation', () => {
  assert.deepEqual(readAlarm('us-west-2', template, 'id'), {
    ...alarm,
    statistic: 'Sum',
    evaluationPeriods: 5,
    datapointsToAlarm: 5,
    threshold: 3,
  });
});

test('lists what it cannot evaluate, with the reason', () => {
  const reason = (change: object) => {
    const read = readAlarm('us-west-2', { ...template, ...change }, 'id');
    return 'notRehearsed' in read ? `${read.name} ${read.notRehearsed}` : undefined;
  };
  assert.match(reason({ MetricName: undefined, Metrics: [] }) ?? '', /^too-many of metric math or a query$/);
  assert.match(reason({ Namespace: 'AWS/Lambda' }) ?? '', /on AWS\/Lambda, which publishes no metrics here/);
  assert.match(reason({ Statistic: undefined, ExtendedStatistic: 'p99' }) ?? '', /of statistic p99/);
  assert.match(
    reason({ ComparisonOperator: 'GreaterThanUpperThreshold' }) ?? '',
    /GreaterThanUpperThreshold/,
  );
});

const point = (
  timestampMs: number,
  values: number[],
  dimensions: Record<string, string> = { Stage: 'dev' },
) => ({
  namespace: 'EdenField',
  name: 'errors',
  dimensions,
  timestampMs,
  values,
});

test('the board fires and clears, and tells of each change once', () => {
  const once = { ...alarm, evaluationPeriods: 1, datapointsToAlarm: 1, missingData: 'notBreaching' } as const;
  const board = new AlarmBoard([once], NOW);
  assert.equal(board.stateOf('us-west-2', 'too-many')?.state, 'INSUFFICIENT_DATA');
  assert.deepEqual(
    board.evaluate(NOW).map(({ state }) => state),
    ['OK'],
  );
  board.add('us-west-2', [point(NOW + 1_000, [0, 2]), point(NOW + 30_000, [5])]);
  assert.equal(board.evaluate(NOW + MINUTE)[0]?.state, 'ALARM');
  assert.deepEqual(board.evaluate(NOW + MINUTE + 5_000), []);
  // The range reaches two periods further back than the one that is evaluated.
  const cleared = board.evaluate(NOW + 4 * MINUTE);
  assert.equal(cleared[0]?.state, 'OK');
  assert.equal(cleared[0]?.since, NOW + 4 * MINUTE);
});

test('points of another region, metric or dimension do not count', () => {
  const board = new AlarmBoard([{ ...alarm, evaluationPeriods: 1, datapointsToAlarm: 1 }], NOW);
  board.add('us-east-2', [point(NOW, [1])]);
  board.add('us-west-2', [point(NOW, [1], { Stage: 'prod' }), { ...point(NOW, [1]), name: 'other' }]);
  assert.deepEqual(board.evaluate(NOW + MINUTE), []);
  board.add('us-west-2', [point(NOW, [1])]);
  assert.equal(board.evaluate(NOW + MINUTE)[0]?.state, 'ALARM');
});

test('dimensions count whatever order they come in', () => {
  const dimensions = { Stage: 'dev', Region: 'us-west-2' };
  const board = new AlarmBoard([{ ...alarm, dimensions, evaluationPeriods: 1, datapointsToAlarm: 1 }], NOW);
  board.add('us-west-2', [point(NOW, [1], { Region: 'us-west-2', Stage: 'dev' })]);
  assert.equal(board.evaluate(NOW + MINUTE)[0]?.state, 'ALARM');
});
