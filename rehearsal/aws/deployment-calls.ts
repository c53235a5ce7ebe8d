// What custom resources ask of AWS while their stack is deployed. The assembly's reader gives their answers; whether the
// role that asks may ask is found out here, since a stack whose custom resource is refused does not deploy.
import type { Deployment, Resource } from '../assembly/assembly.ts';
import { readDescribeTable, SDK_CALL_TYPE, unplayedCalls } from '../assembly/sdk-calls.ts';
import type { Iam } from './iam.ts';

/** @throws Error a role's policies refuse a call that its stack makes */
export function checkDeploymentCalls(
  { account, ofType }: Pick<Deployment, 'account' | 'ofType'>,
  iam: Pick<Iam, 'authorize'>,
): void {
  for (const resource of ofType(SDK_CALL_TYPE)) {
    if (unplayedCalls([resource]).length > 0) continue;
    const { stack, logicalId, properties } = resource;
    const { tableName, region = resource.region } = readDescribeTable(
      properties['Create'] ?? properties['Update'],
    );
    const roleArn = roleOf(
      ofType('AWS::Lambda::Function', resource.region),
      String(properties['ServiceToken']),
    );
    try {
      iam.authorize(roleArn, {
        action: 'dynamodb:DescribeTable',
        resource: `arn:aws:dynamodb:${region}:${account}:table/${tableName}`,
        context: {},
      });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${stack}/${logicalId}: the stack would not deploy: ${why}`, { cause });
    }
  }
}

function roleOf(functions: readonly Resource[], functionArn: string): string {
  const provider = functions.find(({ arn }) => arn === functionArn);
  return String(provider?.properties['Role']);
}
