// The functions of a region as its templates describe them: handler, limits, environment, and which aliases and
// versions there are to invoke.

import type { Deployment, Resource } from '../assembly/assembly.ts';
import { isFields } from '../assembly/intrinsics.ts';

export const PLAYED_TYPES: readonly string[] = [
  'AWS::Lambda::Alias',
  'AWS::Lambda::EventInvokeConfig',
  'AWS::Lambda::Function',
  'AWS::Lambda::Version',
];

/** How Lambda treats an asynchronous invocation that fails. */
export interface AsyncPolicy {
  readonly retriesMax: number;
  readonly ageMsMax: number;
}

export interface LambdaFunction {
  readonly name: string;
  /** Without a qualifier. */
  readonly arn: string;
  readonly roleArn: string;
  readonly region: string;
  readonly handler: string;
  readonly timeoutMs: number;
  readonly memoryMb: number;
  readonly logGroupName: string;
  /** Concurrent invocations it may have; undefined shares the account's. */
  readonly reservedConcurrency: number | undefined;
  /** An alias or version has warm environments before the first invocation. */
  readonly provisioned: boolean;
  /** What the template sets and what the runtime adds. */
  readonly environment: Readonly<Record<string, string>>;
  /** Version by alias, version or `$LATEST`. */
  readonly qualifiers: ReadonlyMap<string, string>;
  asyncPolicy(qualifier: string): AsyncPolicy;
  /** @throws AssemblyError the code is no asset */
  readonly taskRoot: () => string;
}

export const LATEST = '$LATEST';
/** https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html */
const ASYNC_DEFAULT: AsyncPolicy = { retriesMax: 2, ageMsMax: 6 * 3_600_000 };
const MEMORY_MB_DEFAULT = 128;
const TIMEOUT_S_DEFAULT = 3;

/** All functions of a region by name. */
export function functionsOf(deployment: Deployment, region: string): ReadonlyMap<string, LambdaFunction> {
  const parts = {
    versions: deployment.ofType('AWS::Lambda::Version', region),
    aliases: deployment.ofType('AWS::Lambda::Alias', region),
    configs: deployment.ofType('AWS::Lambda::EventInvokeConfig', region),
  };
  return new Map(
    deployment
      .ofType('AWS::Lambda::Function', region)
      .map((resource) => [resource.physicalId, functionOf(resource, parts, deployment)]),
  );
}

function functionOf(
  resource: Resource,
  parts: Record<'versions' | 'aliases' | 'configs', readonly Resource[]>,
  deployment: Deployment,
): LambdaFunction {
  const { physicalId: name, properties, region } = resource;
  const mine = (list: readonly Resource[]) =>
    list.filter(({ properties: { FunctionName } }) => functionNameOf(String(FunctionName)) === name);
  const versions = mine(parts.versions);
  const aliases = mine(parts.aliases);
  const configs = mine(parts.configs);
  const qualifiers = new Map([
    [LATEST, LATEST],
    ...versions.map(({ physicalId }) => [qualifierOf(physicalId), qualifierOf(physicalId)] as const),
    ...aliases.map(
      ({ properties: own }) => [String(own['Name']), qualifierOf(String(own['FunctionVersion']))] as const,
    ),
  ]);
  const memoryMb = Number(properties['MemorySize'] ?? MEMORY_MB_DEFAULT);
  const handler = String(properties['Handler']);
  const logging = isFields(properties['LoggingConfig']) ? properties['LoggingConfig'] : {};
  const own = isFields(properties['Environment']) ? properties['Environment']['Variables'] : undefined;
  const logGroupName = String(logging['LogGroup'] ?? `/aws/lambda/${name}`);
  const version = qualifiers.get(aliases.length > 0 ? String(aliases[0]?.properties['Name']) : LATEST);
  const provisioned = [...aliases, ...versions].some(
    ({ properties: { ProvisionedConcurrencyConfig } }) => ProvisionedConcurrencyConfig !== undefined,
  );
  return {
    name,
    arn: resource.arn ?? name,
    roleArn: String(properties['Role']),
    region,
    handler,
    timeoutMs: Number(properties['Timeout'] ?? TIMEOUT_S_DEFAULT) * 1_000,
    memoryMb,
    logGroupName,
    reservedConcurrency:
      properties['ReservedConcurrentExecutions'] === undefined
        ? undefined
        : Number(properties['ReservedConcurrentExecutions']),
    provisioned,
    environment: {
      ...textFields(own),
      // https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
      _HANDLER: handler,
      AWS_DEFAULT_REGION: region,
      AWS_EXECUTION_ENV: `AWS_Lambda_${String(properties['Runtime'])}`,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_VERSION: version ?? LATEST,
      AWS_LAMBDA_INITIALIZATION_TYPE: provisioned ? 'provisioned-concurrency' : 'on-demand',
      AWS_LAMBDA_LOG_GROUP_NAME: logGroupName,
      AWS_REGION: region,
      LANG: 'en_US.UTF-8',
      TZ: ':UTC',
    },
    qualifiers,
    asyncPolicy(qualifier) {
      const config = configs.find(({ properties: { Qualifier } }) => Qualifier === qualifier)?.properties;
      return {
        retriesMax: Number(config?.['MaximumRetryAttempts'] ?? ASYNC_DEFAULT.retriesMax),
        ageMsMax: config?.['MaximumEventAgeInSeconds']
          ? Number(config['MaximumEventAgeInSeconds']) * 1_000
          : ASYNC_DEFAULT.ageMsMax,
      };
    },
    taskRoot: () => deployment.assetPath(resource),
  };
}

/** `name`, `name:qualifier`, `account:function:name` and ARNs all name a function. */
export function functionNameOf(text: string): string {
  const parts = text.split(':');
  const at = parts.lastIndexOf('function');
  return (at >= 0 ? parts[at + 1] : parts[0]) ?? text;
}

/** The alias or version in a function's ARN or name; `$LATEST` when there is none. A bare version is its own. */
export function qualifierOf(text: string): string {
  if (/^(\d+|\$LATEST)$/.test(text)) return text;
  const parts = text.split(':');
  const at = parts.lastIndexOf('function');
  return (at >= 0 ? parts[at + 2] : parts[1]) ?? LATEST;
}

function textFields(value: unknown): Readonly<Record<string, string>> {
  return isFields(value)
    ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, String(item)]))
    : {};
}
