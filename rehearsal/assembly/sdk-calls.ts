// Custom resources that make one call to AWS while a stack is deployed (`AwsCustomResource` of the CDK): which call, and
// what it answers here. One is played: DynamoDB's DescribeTable, which is how a stack learns of a stream's ARN.
// https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources.AwsCustomResource.html
import type { Resource } from './assembly.ts';
import { isFields } from './intrinsics.ts';

export const SDK_CALL_TYPE = 'Custom::AWS';

export interface DescribeTableCall {
  readonly tableName: string;
  /** Undefined is the stack's own. */
  readonly region: string | undefined;
}

/** What a DescribeTable needs to know of a table. */
export interface DescribedTable {
  readonly arn: string;
  readonly name: string;
  /** Of its stream; undefined when it has none. */
  readonly streamLabel: string | undefined;
}

/**
 * The call that a resource makes when it is created.
 * @param create its property `Create`, resolved: JSON text
 * @throws RangeError it is a call that is not played; says which
 */
export function readDescribeTable(create: unknown): DescribeTableCall {
  const call = parsed(create);
  const [service, action] = [call['service'], call['action']].map((name) => String(name).toLowerCase());
  const parameters = isFields(call['parameters']) ? call['parameters'] : {};
  const tableName = parameters['TableName'];
  // Both the SDK's package and the service's name are in use for it.
  if (/(^|\/client-)dynamodb$/.test(service ?? '') && /^describetable(command)?$/.test(action ?? ''))
    if (typeof tableName === 'string')
      return { tableName, region: call['region'] === undefined ? undefined : String(call['region']) };
  throw new RangeError(
    `expected DynamoDB's DescribeTable of a table, the one call of a custom resource that is played, got ${service}:${action}(${JSON.stringify(parameters)})`,
  );
}

/** The physical id that the call's author gave; undefined when it comes from the answer. */
export function givenPhysicalId(create: unknown): string | undefined {
  const id = parsed(create)['physicalResourceId'];
  return isFields(id) && typeof id['id'] === 'string' ? id['id'] : undefined;
}

/** A member of DescribeTable's answer by its path, e.g. `Table.LatestStreamArn`; undefined for one not played. */
export function describeTableField(
  path: string,
  { arn, name, streamLabel }: DescribedTable,
): string | undefined {
  const stream =
    streamLabel === undefined
      ? {}
      : {
          'Table.LatestStreamArn': `${arn}/stream/${streamLabel}`,
          'Table.LatestStreamLabel': streamLabel,
        };
  const fields: Readonly<Record<string, string>> = {
    'Table.TableArn': arn,
    'Table.TableName': name,
    'Table.TableStatus': 'ACTIVE',
    ...stream,
  };
  return fields[path];
}

/** Calls that are not played, as `<stack>/<logical id>: <what>`. */
export function unplayedCalls(resources: readonly Resource[]): readonly string[] {
  return resources.flatMap(({ stack, logicalId, properties }) => {
    try {
      readDescribeTable(properties['Create'] ?? properties['Update']);
      return [];
    } catch (why) {
      return [`${stack}/${logicalId}: ${SDK_CALL_TYPE}: ${why instanceof Error ? why.message : why}`];
    }
  });
}

function parsed(create: unknown): Readonly<Record<string, unknown>> {
  if (typeof create !== 'string') return {};
  try {
    const call: unknown = JSON.parse(create);
    return isFields(call) ? call : {};
  } catch {
    return {};
  }
}
