// A Region's backups as the templates make them: when, where to, with whose permissions, and who hears of a missing copy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROLES } from '../../config/config.ts';
import { BACKUP_TIERS } from '../../protocol/backups.ts';
import { nextRun, parseSchedule } from '../../rehearsal/region/schedule-expression.ts';
import { DEV, GOV, ofType, only, PROD, type Stack, stackNamed, synthesize } from './assembly.ts';

const dev = synthesize(DEV);
const stackOf = (role: (typeof ROLES)[number]): Stack =>
  stackNamed(dev, role === 'quorum' ? 'eden-field-dev-quorum' : `eden-field-dev-service-${role}`);

const schedulesOf = (stack: Stack) =>
  ofType(stack, 'AWS::Scheduler::Schedule')
    .map(([, { Properties }]) => Properties)
    .filter(({ Name }) => Name.includes('-backup-'));

test('every Region backs up by the hour, day and week; the quorum Region makes the offsite copy too', () => {
  for (const role of ROLES) {
    const tiers = BACKUP_TIERS.filter((tier) => tier !== 'offsite' || role === 'quorum');
    const schedules = schedulesOf(stackOf(role));
    assert.deepEqual(
      schedules.map(({ Name }) => Name).sort(),
      tiers.map((tier) => `eden-field-dev-backup-${tier}`).sort(),
    );
    for (const { Name, Target, FlexibleTimeWindow } of schedules) {
      assert.deepEqual(JSON.parse(Target.Input), {
        tier: Name.replace('eden-field-dev-backup-', ''),
        at: '<aws.scheduler.scheduled-time>',
      });
      assert.deepEqual(FlexibleTimeWindow, { Mode: 'OFF' });
      assert.deepEqual(Target.RetryPolicy, { MaximumRetryAttempts: 1, MaximumEventAgeInSeconds: 1_800 });
    }
  }
});

test('each tier is due twenty minutes into its tick', () => {
  const from = Date.parse('2026-11-24T13:30:00Z');
  const due: Record<string, string> = {};
  for (const { Name, ScheduleExpression: text } of schedulesOf(stackOf('quorum')))
    due[Name.replace('eden-field-dev-backup-', '')] = new Date(
      nextRun(parseSchedule(text), from, from) ?? Number.NaN,
    ).toISOString();
  assert.deepEqual(due, {
    hourly: '2026-11-24T14:20:00.000Z',
    daily: '2026-11-25T00:20:00.000Z',
    weekly: '2026-11-30T00:20:00.000Z',
    offsite: '2026-12-01T00:20:00.000Z',
  });
});

interface Statement {
  readonly Sid: string;
  readonly Action: unknown;
  readonly Resource: unknown;
  readonly Condition?: { readonly StringEquals?: Readonly<Record<string, unknown>> };
}

function statementsOf(stack: Stack, name = 'backup'): ReadonlyMap<string, Statement> {
  const backup = only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === `eden-field-dev-${name}`,
  );
  const role = backup.Properties.Role['Fn::GetAtt'][0];
  const policy = only(stack, 'AWS::IAM::Policy', (it) => it.Properties.Roles[0].Ref === role);
  const statements: readonly Statement[] = policy.Properties.PolicyDocument.Statement;
  return new Map(statements.map((statement) => [statement.Sid, statement]));
}

test('exports its own replica into its own buckets, and looks into the others', () => {
  for (const role of ROLES) {
    const own = DEV.regions[role];
    const others = ROLES.map((it) => DEV.regions[it]).filter((region) => region !== own);
    const statements = statementsOf(stackOf(role));
    const placesOf = (sid: string) => {
      const text = JSON.stringify(statements.get(sid)?.Resource);
      return [
        ...text.matchAll(/eden-field-dev-(backup|offsite)-([a-z]+-[a-z]+-\d)-.*?"(\/[a-z]+\/\*|)"/g),
      ].map(([, use, region, part]) => `${use} ${region} ${part}`);
    };
    const tiers = ['hourly', 'daily', 'weekly'];
    assert.deepEqual(placesOf('Backups'), [
      ...tiers.map((tier) => `backup ${own} /${tier}/*`),
      ...(role === 'quorum' ? [`offsite ${own} /offsite/*`] : []),
    ]);
    assert.deepEqual(
      placesOf('PeerBackups'),
      others.flatMap((region) => tiers.map((tier) => `backup ${region} /${tier}/*`)),
    );
    const table = JSON.stringify(statements.get('Export')?.Resource);
    assert.match(table, new RegExp(`:dynamodb:${own}:.*:table/eden-field-dev-records"`));
    const [keys, peerKeys] = ['BackupKeys', 'PeerBackupKeys'].map((sid) => statements.get(sid));
    assert.equal([keys?.Resource].flat().length, role === 'quorum' ? 2 : 1);
    assert.deepEqual(keys?.Condition?.StringEquals?.['kms:ViaService'], [`s3.${own}.amazonaws.com`]);
    for (const region of others)
      assert.match(JSON.stringify(peerKeys?.Resource), new RegExp(`:kms:${region}:`));
  }
});

test('is told of the offsite bucket and its key where that stands, and nowhere else', () => {
  for (const role of ROLES) {
    const { Variables } = only(
      stackOf(role),
      'AWS::Lambda::Function',
      (it) => it.Properties.FunctionName === 'eden-field-dev-backup',
    ).Properties.Environment;
    const text = JSON.stringify(Variables.OFFSITE ?? '');
    assert.equal(text.includes(`eden-field-dev-offsite-${DEV.regions[role]}-`), role === 'quorum');
    assert.equal(text.includes('OffsiteKey'), role === 'quorum');
  }
});

test('one missing copy of three is a warning, as is a Region that counts nothing; more is critical', () => {
  for (const role of ROLES) {
    const alarms = ofType(stackOf(role), 'AWS::CloudWatch::Alarm')
      .map(([, { Properties }]) => Properties)
      .filter(({ MetricName }) => MetricName === 'backup_replicas_failed');
    assert.deepEqual(
      alarms
        .map(({ AlarmName, Threshold, ComparisonOperator, TreatMissingData, Statistic, Period }) => [
          AlarmName,
          Threshold,
          ...[ComparisonOperator, TreatMissingData, Statistic, Period],
        ])
        .toSorted(),
      [
        [
          'eden-field-dev-backup-copies-critical',
          1,
          'GreaterThanThreshold',
          'notBreaching',
          'Maximum',
          3_600,
        ],
        ['eden-field-dev-backup-copies-warning', 0, 'GreaterThanThreshold', 'breaching', 'Maximum', 3_600],
      ],
    );
    for (const { AlarmName, AlarmActions, Dimensions } of alarms) {
      const severity = AlarmName.split('-').at(-1);
      assert.match(JSON.stringify(AlarmActions), new RegExp(`:eden-field-dev-${severity}"`));
      assert.deepEqual(
        new Map(Dimensions.map(({ Name, Value }: { Name: string; Value: string }) => [Name, Value])),
        new Map([
          ['Region', DEV.regions[role]],
          ['Service', 'backup'],
          ['Stage', 'dev'],
        ]),
      );
    }
  }
});

test('a verification runs every quarter of an hour, and never two of one Region side by side', () => {
  for (const role of ROLES) {
    const named = (it: {
      readonly Properties: { readonly FunctionName?: unknown; readonly Name?: unknown };
    }) => [it.Properties.FunctionName, it.Properties.Name].includes('eden-field-dev-verification');
    const { ScheduleExpression: every } = only(stackOf(role), 'AWS::Scheduler::Schedule', named).Properties;
    assert.equal(every, 'rate(15 minutes)');
    assert.equal(only(stackOf(role), 'AWS::Lambda::Function', named).Properties.Timeout, 15 * 60);
  }
});

/** Statements of a verification that are about journals and the audit archive (verification.test.ts). */
const ABOUT_GAPS = /^(Journal|Audit|LosingPayloads|Peer)/;

test('a verification reads and locks its own Region’s backups, and writes nothing of them but verdicts', () => {
  for (const role of ROLES) {
    const statements = statementsOf(stackOf(role), 'verification');
    const own = DEV.regions[role];
    const others = ROLES.map((it) => DEV.regions[it]).filter((region) => region !== own);
    for (const [sid, { Resource }] of statements)
      for (const region of ABOUT_GAPS.test(sid) ? [] : others)
        assert.ok(!JSON.stringify(Resource).includes(region), `${sid}: ${region}`);
    const parts = (sid: string) =>
      [...JSON.stringify(statements.get(sid)?.Resource).matchAll(/"\/([a-z]+\/[^"]*)"/g)].map(
        ([, part]) => part,
      );
    const tiers = BACKUP_TIERS.filter((tier) => tier !== 'offsite' || role === 'quorum');
    assert.deepEqual(
      parts('Backups'),
      tiers.map((tier) => `${tier}/*`),
    );
    assert.deepEqual(
      parts('Verdicts'),
      tiers.map((tier) => `${tier}/*verdict.json`),
    );
    assert.equal(statements.get('Verdicts')?.Action, 's3:PutObject');
  }
});

test('a verified backup is locked for its tier, by the mode of the stage', () => {
  for (const [config, mode] of [
    [DEV, 'GOVERNANCE'],
    [PROD, 'COMPLIANCE'],
  ] as const) {
    const stack = stackNamed(config === DEV ? dev : synthesize(PROD), `eden-field-${config.stage}-quorum`);
    const { Variables } = only(
      stack,
      'AWS::Lambda::Function',
      (it) => it.Properties.FunctionName === `eden-field-${config.stage}-verification`,
    ).Properties.Environment;
    assert.deepEqual(JSON.parse(Variables.BACKUP_LOCKS), {
      mode,
      days: { daily: 30, weekly: 365, offsite: 2_555 },
    });
  }
});

test('a corrupted backup is critical; one without a verdict in time, or a silent verification, a warning', () => {
  for (const role of ROLES) {
    const alarms = ofType(stackOf(role), 'AWS::CloudWatch::Alarm')
      .map(([, { Properties }]) => Properties)
      .filter(({ AlarmName }) => /-backup-(corrupted|unverified)$/.test(AlarmName));
    assert.deepEqual(
      alarms
        .map(
          ({ AlarmName, MetricName, Threshold, ComparisonOperator, TreatMissingData, DatapointsToAlarm }) => [
            ...[AlarmName, MetricName, Threshold, ComparisonOperator, TreatMissingData, DatapointsToAlarm],
          ],
        )
        .toSorted(),
      [
        ['eden-field-dev-backup-corrupted', 'backup_corrupted', 0, 'GreaterThanThreshold', 'notBreaching', 1],
        [
          'eden-field-dev-backup-unverified',
          'backup_unverified_age',
          0,
          'GreaterThanThreshold',
          'breaching',
          2,
        ],
      ],
    );
    for (const { AlarmName, AlarmActions, Dimensions } of alarms) {
      const severity = AlarmName.endsWith('corrupted') ? 'critical' : 'warning';
      assert.match(JSON.stringify(AlarmActions), new RegExp(`:eden-field-dev-${severity}"`));
      assert.ok(JSON.stringify(Dimensions).includes('"Value":"verification"'));
    }
  }
});

test('two Regions without a quorum back up by the hour, day and week each, and the standby offsite', () => {
  const gov = synthesize(GOV);
  for (const role of ['primary', 'standby'])
    assert.deepEqual(
      schedulesOf(stackNamed(gov, `eden-field-gov-service-${role}`))
        .map(({ Name }) => Name)
        .sort(),
      BACKUP_TIERS.filter((tier) => tier !== 'offsite' || role === 'standby')
        .map((tier) => `eden-field-gov-backup-${tier}`)
        .sort(),
    );
});
