// Alarms as they fired, and whom they reach: what an alarm does stands in its template, and so does who reads the topic it
// goes to. Nothing here sends anything.
import type { Resource } from '../../assembly/assembly.ts';
import type { AlarmState } from '../../cloudwatch.ts';

export interface Fired {
  readonly region: string;
  readonly name: string;
  /** Unix ms. */
  readonly at: number;
  readonly why: string;
  /** Name of the topic it goes to; empty where it goes nowhere. */
  readonly topic: string;
  /** How many addresses read that topic. */
  readonly people: number;
}

export type ResourcesOfType = (type: string, region?: string) => readonly Resource[];

/** `ofType`: of the deployment. */
export function firedAlarm(state: AlarmState, ofType: ResourcesOfType): Fired {
  const { region, name, since, why } = state;
  const alarm = ofType('AWS::CloudWatch::Alarm', region).find(
    ({ properties, physicalId }) => (properties['AlarmName'] ?? physicalId) === name,
  );
  const arns = alarm?.properties['ActionsEnabled'] === false ? [] : listOf(alarm?.properties['AlarmActions']);
  const subscribed = ofType('AWS::SNS::Subscription', region).filter(({ properties }) =>
    arns.includes(String(properties['TopicArn'])),
  );
  const topic = arns.map((arn) => arn.split(':').at(-1) ?? '').join(', ');
  return { region, name, at: since, why, topic, people: subscribed.length };
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
