// Where alarms go: one topic a severity, encrypted, which CloudWatch of this account may publish to and the on-call
// address reads. This path to a person passes through none of our own code.
import { ArnFormat, Aws, Stack } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import type { Severity } from '../../config/promises.ts';
import { topicName } from '../names.ts';

export const SEVERITIES: readonly Severity[] = ['warning', 'critical', 'page_oncall', 'incident'];

export interface OnCallTopicsProps {
  readonly stage: string;
  readonly key: IKey;
  readonly email: string;
}

/** The topic of a severity in the Region of `scope`'s stack, by its name: the foundation owns it. */
export function onCallTopic(
  scope: Construct,
  id: string,
  { stage, severity }: { readonly stage: string; readonly severity: Severity },
): ITopic {
  const topicArn = Stack.of(scope).formatArn({
    service: 'sns',
    resource: topicName(stage, severity),
    arnFormat: ArnFormat.NO_RESOURCE_NAME,
  });
  return Topic.fromTopicArn(scope, id, topicArn);
}

export class OnCallTopics extends Construct {
  constructor(scope: Construct, id: string, props: OnCallTopicsProps) {
    super(scope, id);
    const { stage, key, email } = props;
    for (const severity of SEVERITIES) {
      const topic = new Topic(this, severity, {
        topicName: topicName(stage, severity),
        displayName: `Eden Field ${stage}: ${severity}`,
        masterKey: key,
        enforceSSL: true,
      });
      topic.addToResourcePolicy(
        new PolicyStatement({
          sid: 'Alarms',
          principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
          actions: ['sns:Publish'],
          resources: [topic.topicArn],
          conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
        }),
      );
      topic.addSubscription(new EmailSubscription(email));
    }
  }
}
