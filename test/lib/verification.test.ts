// What a verification may do beside reading backups: tables of its own, journals and audit archives; and who hears of what
// it finds missing there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROLES, type Role } from '../../config/config.ts';
import { DEV, GOV, ofType, only, type Stack, stackNamed, synthesize } from './assembly.ts';

const dev = synthesize(DEV);
const gov = synthesize(GOV);
const stackOf = (role: Role): Stack =>
  stackNamed(dev, role === 'quorum' ? 'eden-field-dev-quorum' : `eden-field-dev-service-${role}`);

interface Statement {
  readonly Sid: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

function statementsOf(stack: Stack, stage = 'dev'): ReadonlyMap<string, Statement> {
  const { Properties } = only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === `eden-field-${stage}-verification`,
  );
  const role = Properties.Role['Fn::GetAtt'][0];
  const policy = only(stack, 'AWS::IAM::Policy', (it) => it.Properties.Roles[0].Ref === role);
  const statements: readonly Statement[] = policy.Properties.PolicyDocument.Statement;
  return new Map(statements.map((statement) => [statement.Sid, statement]));
}

test('makes, fills, reads and deletes tables of its own name in its own Region, and touches no other so', () => {
  for (const role of ROLES) {
    const statements = statementsOf(stackOf(role));
    const table = JSON.stringify(statements.get('ScratchTables')?.Resource);
    assert.match(table, new RegExp(`:dynamodb:${DEV.regions[role]}:.*:table/eden-field-dev-scratch-\\*"`));
    for (const [sid, { Action, Resource }] of statements)
      if (/CreateTable|DeleteTable|BatchWriteItem|Scan/.test(String(Action)))
        assert.deepEqual([sid, JSON.stringify(Resource)], ['ScratchTables', table]);
  }
});

test('its key is used through DynamoDB only, and granted to nobody but AWS', () => {
  for (const role of ROLES) {
    const statements = statementsOf(stackOf(role));
    const via = { 'kms:ViaService': `dynamodb.${DEV.regions[role]}.amazonaws.com` };
    assert.deepEqual(statements.get('ScratchKey')?.Condition, { StringEquals: via });
    const { Action, Condition } = statements.get('ScratchGrants') ?? assert.fail('no grants');
    assert.deepEqual(
      [Action, Condition],
      ['kms:CreateGrant', { StringEquals: via, Bool: { 'kms:GrantIsForAWSResource': 'true' } }],
    );
  }
});

const placesIn = (resource: unknown, stage = 'dev') =>
  [
    ...JSON.stringify(resource).matchAll(
      new RegExp(
        `eden-field-${stage}-(\\w+)-([a-z]+(?:-[a-z]+)+-\\d)-(?:\\d{12}|",\\{"Ref":"AWS::AccountId"\\},")(?:/([a-z-]+)/\\*)?"`,
        'g',
      ),
    ),
  ].map(([, use, region, part]) => `${use} ${region} ${part ?? ''}`.trim());

test('reads the journals of all Regions, and fills its own and nobody else’s', () => {
  for (const [stack, stage, own, others] of [
    ...ROLES.map((role) => {
      const own = DEV.regions[role];
      return [
        stackOf(role),
        'dev',
        own,
        ROLES.map((it) => DEV.regions[it]).filter((it) => it !== own),
      ] as const;
    }),
    [
      stackNamed(gov, 'eden-field-gov-service-standby'),
      'gov',
      GOV.regions.standby,
      [GOV.regions.primary],
    ] as const,
  ]) {
    const statements = statementsOf(stack, stage);
    const parts = (region: string) => [`backup ${region} journal`, `backup ${region} journal-parked`];
    assert.deepEqual(
      placesIn(statements.get('JournalsRead')?.Resource, stage).toSorted(),
      [own, ...others].flatMap(parts).toSorted(),
    );
    const { Action, Resource } = statements.get('JournalFilled') ?? assert.fail('fills nothing');
    assert.deepEqual([Action, placesIn([Resource], stage)], ['s3:PutObject', [`backup ${own} journal`]]);
    const keys = JSON.stringify(statements.get('PeerJournalKeys'));
    assert.ok(!keys.includes(own));
    for (const region of others) assert.ok(keys.includes(`s3.${region}.amazonaws.com`));
  }
});

test('writes and reads its own audit archive, and reads the others', () => {
  for (const role of ROLES) {
    const statements = statementsOf(stackOf(role));
    const own = DEV.regions[role];
    for (const [sid, { Resource }] of statements)
      if (/^(AuditEntries|LosingPayloads)$/.test(sid))
        assert.deepEqual(
          placesIn([Resource]).map((it) => it.split(' ')[1]),
          [own],
          sid,
        );
    for (const sid of ['PeerEntries', 'PeerPayloads'])
      assert.ok(!JSON.stringify(statements.get(sid)).includes(`-${own}-`), sid);
  }
});

test('what no Region has is a warning within the hour, and silence is another alarm’s', () => {
  for (const role of ROLES) {
    const alarms = ofType(stackOf(role), 'AWS::CloudWatch::Alarm')
      .map(([, { Properties }]) => Properties)
      .filter(({ AlarmName }) => /-(journal|audit)-gaps$/.test(AlarmName));
    assert.deepEqual(
      alarms
        .map(
          ({ AlarmName, MetricName, Threshold, ComparisonOperator, TreatMissingData, DatapointsToAlarm }) => [
            ...[AlarmName, MetricName, Threshold, ComparisonOperator, TreatMissingData, DatapointsToAlarm],
          ],
        )
        .toSorted(),
      [
        ['eden-field-dev-audit-gaps', 'audit_gaps', 0, 'GreaterThanThreshold', 'notBreaching', 1],
        ['eden-field-dev-journal-gaps', 'journal_gaps', 0, 'GreaterThanThreshold', 'notBreaching', 1],
      ],
    );
    for (const { AlarmActions, AlarmDescription, Dimensions } of alarms) {
      assert.match(JSON.stringify(AlarmActions), /:eden-field-dev-warning"/);
      assert.match(AlarmDescription, /docs\/OPERATING\.md#journal$/);
      assert.ok(JSON.stringify(Dimensions).includes('"Value":"verification"'));
    }
  }
});
