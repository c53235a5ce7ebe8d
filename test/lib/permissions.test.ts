// Who may do what. Every action a role has is written here; a new one has to be added by hand, and explained. What may be
// done in the account of a third copy stands in third-copy.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Role } from '../../config/config.ts';
import { ROLES } from '../../config/config.ts';
import { DEV, GOV, ofType, only, type Stack, stackNamed, synthesize } from './assembly.ts';

const stacks = synthesize(DEV);
const everyStack = [...stacks, ...synthesize(GOV)];
const STACK_OF: Record<Role, Stack> = {
  primary: stackNamed(stacks, 'eden-field-dev-service-primary'),
  standby: stackNamed(stacks, 'eden-field-dev-service-standby'),
  quorum: stackNamed(stacks, 'eden-field-dev-quorum'),
};

interface Statement {
  readonly Sid?: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: { readonly StringEquals?: Readonly<Record<string, unknown>> };
}

function statementsOf(stack: Stack, functionName: string): readonly Statement[] {
  const lambda = only(
    stack,
    'AWS::Lambda::Function',
    (it) => it.Properties.FunctionName === `eden-field-dev-${functionName}`,
  );
  const role = lambda.Properties.Role['Fn::GetAtt'][0];
  assert.equal(stack.template.Resources[role]?.Properties.ManagedPolicyArns, undefined, 'own policy only');
  return ofType(stack, 'AWS::IAM::Policy')
    .filter(([, it]) => it.Properties.Roles.some(({ Ref }: { Ref: string }) => Ref === role))
    .flatMap(([, it]) => it.Properties.PolicyDocument.Statement);
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

const LOG = ['logs:CreateLogStream', 'logs:PutLogEvents'];
const TRACE = ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'];
const READ_KEY = ['kms:Decrypt'];
const WRITE_KEY = ['kms:Decrypt', 'kms:Encrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*'];
const CHECK_KEY = ['kms:GenerateDataKey'];
const PUT_OBJECT = ['s3:PutObject', 'kms:GenerateDataKey'];
/** Both prefixes, put and read, in the Region's own bucket. */
const OWN_AUDIT = [
  's3:PutObject',
  's3:GetObject',
  's3:PutObject',
  's3:GetObject',
  'kms:GenerateDataKey',
  'kms:Decrypt',
];
/** Both prefixes, read, in the other two; and on all three what makes S3 say that an object is not there. */
const PEER_AUDIT = ['s3:GetObject', 's3:GetObject', 'kms:Decrypt', 's3:ListBucket'];
/** Segments in its own Region's backup bucket; what that one does not take, in any. */
const JOURNAL = ['s3:PutObject', 's3:PutObject', 'kms:GenerateDataKey'];
const MAY: Readonly<Record<string, readonly string[]>> = {
  records: [
    ...['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:UpdateItem', 'dynamodb:Query'],
    ...WRITE_KEY,
    ...CHECK_KEY,
    ...OWN_AUDIT,
    ...PEER_AUDIT,
  ],
  push: [
    ...['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY, ...CHECK_KEY],
    ...['s3:PutObject', ...PUT_OBJECT],
  ],
  pull: ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query', ...READ_KEY, ...CHECK_KEY],
  health: ['dynamodb:GetItem', ...READ_KEY],
  ready: ['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY, ...CHECK_KEY],
  observer: ['dynamodb:GetItem', 'dynamodb:UpdateItem', 'dynamodb:Query', ...WRITE_KEY, ...PUT_OBJECT],
  archiver: [
    ...['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY],
    ...[
      'dynamodb:DescribeStream',
      'dynamodb:GetShardIterator',
      'dynamodb:GetRecords',
      'dynamodb:ListStreams',
    ],
    ...OWN_AUDIT,
    ...PEER_AUDIT,
    ...JOURNAL,
  ],
  sweeper: [
    ...['dynamodb:GetItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:Query', ...WRITE_KEY],
    ...PUT_OBJECT,
  ],
  // One item of its own, by its partition key.
  scrubber: ['dynamodb:GetItem', 'dynamodb:Scan', 'dynamodb:UpdateItem', ...WRITE_KEY],
  backup: [
    ...['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY],
    ...['dynamodb:ExportTableToPointInTime', 'dynamodb:DescribeContinuousBackups', 'dynamodb:DescribeExport'],
    // What DynamoDB writes with its permissions, beside what it says of that itself.
    ...['s3:PutObject', 's3:PutObjectAcl', 's3:AbortMultipartUpload', 's3:GetObject'],
    ...['kms:GenerateDataKey', 'kms:Decrypt'],
    // In the other two: what they say of their own.
    ...['s3:GetObject', 'kms:Decrypt', 's3:ListBucket'],
  ],
  verification: [
    ...['dynamodb:GetItem', 'dynamodb:UpdateItem', ...WRITE_KEY],
    // Extends locks; what would shorten one, or delete anything, it lacks.
    ...['s3:GetObject', 's3:PutObjectRetention', 's3:PutObject', 's3:ListBucket'],
    ...['kms:GenerateDataKey', 'kms:Decrypt'],
    // Tables of its own, by their names, which it makes, fills, reads and deletes.
    ...['dynamodb:CreateTable', 'dynamodb:TagResource', 'dynamodb:DescribeTable', 'dynamodb:DeleteTable'],
    ...['dynamodb:BatchWriteItem', 'dynamodb:Scan', 'kms:DescribeKey', 'kms:CreateGrant'],
    // Journals of all, read; its own, filled; and the audit archive, as the archiver does.
    ...['s3:GetObject', 's3:PutObject', 's3:ListBucket', 'kms:Decrypt'],
    ...OWN_AUDIT,
    ...PEER_AUDIT,
  ],
  restore: [
    // Puts where nothing is; whatever else there is to do to the table the operator's command does.
    ...['dynamodb:GetItem', 'dynamodb:PutItem', ...WRITE_KEY],
    // Reads backups, and leaves results beside them.
    ...['s3:GetObject', 's3:PutObject', 's3:ListBucket', 'kms:Decrypt', 'kms:GenerateDataKey'],
    ...['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ChangeMessageVisibility'],
    'kms:Decrypt',
  ],
  authorizer: [],
  describe: [],
  'pretraffic-push': ['lambda:InvokeFunction', 'codedeploy:PutLifecycleEventHookExecutionStatus'],
};

test('each function may do what its code does, and no more', () => {
  for (const [name, actions] of Object.entries(MAY)) {
    const granted = statementsOf(STACK_OF.primary, name).flatMap(({ Action }) => list(Action));
    assert.deepEqual([...granted].sort(), [...LOG, ...TRACE, ...actions].sort(), name);
  }
});

/** What the resources of a statement about the table end in. */
const ENDS: Readonly<Record<string, string>> = {
  Table: ':table/eden-field-dev-records"',
  TableKey: ':key/"',
  Feed: '/index/feed"',
  Tombstones: '/index/tombstones"',
  OwnItems: ':table/eden-field-dev-records"',
  Stream: ':table/eden-field-dev-records/stream/*"',
};

test('a function reaches the replicas it needs: all three for votes and fallback, its own otherwise', () => {
  const everyRegion = ['records', 'push', 'pull'];
  for (const role of ROLES)
    for (const name of role === 'quorum'
      ? ['observer', 'archiver', 'scrubber']
      : [...everyRegion, 'health', 'ready', 'observer', 'archiver', 'sweeper', 'scrubber']) {
      const own = DEV.regions[role];
      const expected = everyRegion.includes(name) ? ROLES.map((it) => DEV.regions[it]).sort() : [own];
      for (const statement of statementsOf(STACK_OF[role], name)) {
        const text = JSON.stringify(statement.Resource);
        const end = ENDS[statement.Sid ?? ''];
        if (end === undefined) continue;
        assert.deepEqual(
          [
            ...new Set([...text.matchAll(/:(?:dynamodb|kms):([a-z0-9-]+):/g)].map(([, region]) => region)),
          ].sort(),
          expected,
          `${role} ${name} ${statement.Sid}`,
        );
        assert.equal(text.split(end).length - 1, expected.length, `${name} ${statement.Sid}`);
        if (statement.Sid === 'TableKey')
          assert.deepEqual(
            list(statement.Condition?.StringEquals?.['kms:ViaService']).toSorted(),
            expected.map((region) => `dynamodb.${region}.amazonaws.com`),
          );
      }
    }
});

/** The part of a bucket that a statement about objects is for. */
const PART_OF: Readonly<Record<string, RegExp>> = {
  AuditEntries: /"\/audit\/\*"/,
  PeerEntries: /"\/audit\/\*"/,
  LosingPayloads: /"\/losing-payloads\/\*"/,
  PeerPayloads: /"\/losing-payloads\/\*"/,
  RoutingChanges: /"\/routing\/\*"/,
};

test('the audit trail is written in one’s own Region only, and read in others by those that fill gaps', () => {
  for (const role of ROLES)
    for (const name of role === 'quorum'
      ? ['observer', 'archiver']
      : ['records', 'push', 'observer', 'archiver', 'sweeper'])
      for (const { Sid, Action, Resource, Condition } of statementsOf(STACK_OF[role], name)) {
        if (Sid?.startsWith('Journal')) continue;
        const keyUse = Sid === 'AuditKey' || Sid === 'PeerKeys';
        if (!keyUse && !list(Action).some((action) => String(action).startsWith('s3:'))) continue;
        const own = DEV.regions[role];
        const others = ROLES.map((it) => DEV.regions[it]).filter((region) => region !== own);
        const expected = /^Peer/.test(Sid ?? '') ? others : Sid === 'AuditBuckets' ? [own, ...others] : [own];
        const text = JSON.stringify(Resource);
        const found = [...text.matchAll(/(?:eden-field-dev-audit-|:kms:)([a-z]+-[a-z]+-\d)/g)].map(
          ([, it]) => it,
        );
        assert.deepEqual(found.toSorted(), expected.toSorted(), `${role} ${name} ${Sid}`);
        if (keyUse)
          assert.deepEqual(
            list(Condition?.StringEquals?.['kms:ViaService']).toSorted(),
            expected.map((region) => `s3.${region}.amazonaws.com`).toSorted(),
          );
        else if (Sid !== 'AuditBuckets')
          assert.match(text, PART_OF[Sid ?? ''] ?? assert.fail(`${name}: ${Sid} is on no part of a bucket`));
      }
});

test('who writes a journal writes it in its own Region, parks in any, and reads none', () => {
  for (const role of ROLES) {
    const own = DEV.regions[role];
    const all = ROLES.map((it) => DEV.regions[it]);
    const statements = statementsOf(STACK_OF[role], 'archiver').filter(({ Sid }) =>
      Sid?.startsWith('Journal'),
    );
    const reached = statements.map(({ Sid, Action, Resource, Condition }) => {
      const text = JSON.stringify(Resource);
      const regions = [...text.matchAll(/(?:eden-field-dev-backup-|:kms:)([a-z]+-[a-z]+-\d)/g)].map(
        ([, it]) => it,
      );
      const parts = [...new Set([...text.matchAll(/"\/([a-z-]+)\/\*"/g)].map(([, it]) => it))];
      return { Sid, Action, regions, parts, via: Condition?.StringEquals?.['kms:ViaService'] };
    });
    const via = all.map((region) => `s3.${region}.amazonaws.com`);
    assert.deepEqual(reached, [
      { Sid: 'Journal', Action: 's3:PutObject', regions: [own], parts: ['journal'], via: undefined },
      {
        Sid: 'JournalParked',
        Action: 's3:PutObject',
        regions: all,
        parts: ['journal-parked'],
        via: undefined,
      },
      { Sid: 'JournalKey', Action: 'kms:GenerateDataKey', regions: all, parts: [], via },
    ]);
  }
});

test('what looks a stream up may describe the table of its own Region, and log', () => {
  for (const role of ROLES) {
    const statements = statementsOf(STACK_OF[role], 'stream-lookup');
    assert.deepEqual(statements.flatMap(({ Action }) => list(Action)).toSorted(), [
      'dynamodb:DescribeTable',
      ...LOG,
    ]);
    const table = JSON.stringify(statements.find(({ Sid }) => Sid === 'Table')?.Resource);
    assert.match(table, new RegExp(`:dynamodb:${DEV.regions[role]}:.*:table/eden-field-dev-records"`));
  }
});

/** Statements on every resource, and why there is no other way. */
const WILDCARDS: Readonly<Record<string, string>> = {
  'xray:PutTraceSegments,xray:PutTelemetryRecords': 'X-Ray has no resources to name (IAM service reference)',
  'dynamodb:ListStreams':
    'it has no resources to name (IAM service reference); an event source mapping asks for it',
};

test('no role may do anything to every resource, but for what has a reason', () => {
  for (const stack of everyStack)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Policy'))
      for (const { Action, Resource } of Properties.PolicyDocument.Statement as Statement[]) {
        if (list(Resource).includes('*'))
          assert.ok(String(Action) in WILDCARDS, `${stack.name} ${id}: ${String(Action)} on *`);
        for (const action of list(Action))
          assert.doesNotMatch(String(action), /^\*|:\*$/, `${stack.name} ${id}`);
      }
});

/** AWS's own policies that a role of ours carries, and why we do not write our own. */
const MANAGED: Readonly<Record<string, string>> = {
  AmazonAPIGatewayPushToCloudWatchLogs: 'the account setting for access logs is checked against it',
  AWSCodeDeployRoleForLambdaLimited: 'CDK attaches it to every deployment group',
  AWSLambdaBasicExecutionRole: "CDK's provider of the one cross-Region value logs with it",
};

test("carries an AWS policy only where there is a reason, and never an administrator's", () => {
  for (const stack of everyStack)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Role'))
      for (const arn of Properties.ManagedPolicyArns ?? []) {
        const name = /\/(\w+)"?[\]}]*$/.exec(JSON.stringify(arn))?.[1];
        assert.ok(name && name in MANAGED, `${stack.name} ${id}: ${JSON.stringify(arn)}`);
      }
});

test('every service that takes a role of ours takes it for this account', () => {
  for (const stack of everyStack)
    for (const [id, { Properties }] of ofType(stack, 'AWS::IAM::Role')) {
      if (id.startsWith('CustomCrossRegion')) continue;
      for (const { Principal, Condition } of Properties.AssumeRolePolicyDocument.Statement) {
        // API Gateway tries its logging role out on behalf of no API.
        if (Principal.Service === 'apigateway.amazonaws.com') continue;
        assert.deepEqual(
          Condition?.StringEquals?.['aws:SourceAccount'],
          { Ref: 'AWS::AccountId' },
          `${stack.name} ${id}`,
        );
      }
    }
});

test('API Gateway may call a function from its own method only, through the alias', () => {
  for (const stack of [STACK_OF.primary, STACK_OF.standby]) {
    const api = only(stack, 'AWS::ApiGateway::RestApi').id;
    const aliases = new Set(ofType(stack, 'AWS::Lambda::Alias').map(([id]) => id));
    const methods = ofType(stack, 'AWS::ApiGateway::Method').length;
    const permissions = ofType(stack, 'AWS::Lambda::Permission');
    assert.equal(permissions.length, methods + 1, 'one a method, and the authorizer');
    for (const [id, { Properties }] of permissions) {
      assert.equal(Properties.Principal, 'apigateway.amazonaws.com');
      assert.ok(aliases.has(Properties.FunctionName.Ref), `${id} names an alias`);
      const source = JSON.stringify(Properties.SourceArn);
      assert.ok(source.includes(`{"Ref":"${api}"}`), `${id}: ${source}`);
      assert.doesNotMatch(source, /test-invoke-stage/);
    }
  }
});

test('a schedule may call its function and nothing else', () => {
  const schedules = ROLES.flatMap((role) =>
    ofType(STACK_OF[role], 'AWS::Scheduler::Schedule').map(([, it]) => ({
      stack: STACK_OF[role],
      ...it.Properties,
    })),
  );
  assert.equal(
    schedules.length,
    3 + 2 + 3 + 3 + (3 * 3 + 1),
    'observers, sweepers, verifications, scrubbers, backups with the offsite one',
  );
  for (const { stack, Name, Target } of schedules) {
    const policy = only(
      stack,
      'AWS::IAM::Policy',
      (it) => it.Properties.Roles[0].Ref === Target.RoleArn['Fn::GetAtt'][0],
    );
    const [statement, ...others] = policy.Properties.PolicyDocument.Statement;
    assert.equal(others.length, 0);
    assert.equal(statement.Action, 'lambda:InvokeFunction');
    const function_ = ['Observer', 'Sweeper', 'Verification', 'Scrubber', 'Backups'].find((it) =>
      Name.startsWith(`eden-field-dev-${it.toLowerCase().replace(/s$/, '')}`),
    );
    assert.match(JSON.stringify(statement.Resource), new RegExp(`${function_}LiveAlias`));
  }
});
