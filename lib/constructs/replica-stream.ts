// The ARN of the stream of this Region's replica. It ends in the moment the stream was made, which nobody knows at
// synth, and another stack in another Region owns the table; so CloudFormation asks DynamoDB here, while it deploys
// (ADR 0012).
import { Aws, Duration, type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { AwsCustomResource, AwsCustomResourcePolicy, PhysicalResourceId } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';
import type { Config } from '../../config/config.ts';
import { functionLogGroup, functionName, tableName } from '../names.ts';

export interface ReplicaStreamProps {
  readonly config: Config;
  readonly key: IKey;
  readonly removalPolicy: RemovalPolicy;
}

const ASKER = 'stream-lookup';
const STREAM_ARN = 'Table.LatestStreamArn';

export class ReplicaStream extends Construct {
  readonly streamArn: string;

  constructor(scope: Construct, id: string, props: ReplicaStreamProps) {
    super(scope, id);
    const { config, key, removalPolicy } = props;
    const { stage, logRetentionDays } = config;
    const logGroup = new LogGroup(this, 'Log', {
      logGroupName: functionLogGroup(stage, ASKER),
      encryptionKey: key,
      retention: logRetentionDays,
      removalPolicy,
    });
    const role = new Role(this, 'Role', {
      description: `What ${functionName(stage, ASKER)} may do`,
      assumedBy: new ServicePrincipal('lambda.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    });
    role.addToPolicy(
      new PolicyStatement({
        sid: 'Log',
        actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        resources: [logGroup.logGroupArn],
      }),
    );
    const describe = {
      service: 'DynamoDB',
      action: 'describeTable',
      parameters: { TableName: tableName(stage) },
      physicalResourceId: PhysicalResourceId.of(tableName(stage)),
      outputPaths: [STREAM_ARN],
    };
    const lookup = new AwsCustomResource(this, 'Lookup', {
      functionName: functionName(stage, ASKER),
      role,
      logGroup,
      timeout: Duration.minutes(1),
      installLatestAwsSdk: false,
      onCreate: describe,
      onUpdate: describe,
      policy: AwsCustomResourcePolicy.fromStatements([
        new PolicyStatement({
          sid: 'Table',
          actions: ['dynamodb:DescribeTable'],
          resources: [
            Stack.of(this).formatArn({
              service: 'dynamodb',
              resource: 'table',
              resourceName: tableName(stage),
            }),
          ],
        }),
      ]),
    });
    this.streamArn = lookup.getResponseField(STREAM_ARN);
  }
}
