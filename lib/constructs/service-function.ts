// One function as all of ours are: Node 24 on arm64, an ES module bundled with its SDK, an encrypted log that ends,
// a role that allows exactly what `lib/functions.ts` says, and tracing.

import { join } from 'node:path';
import { Aws, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Architecture, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { LogLevel, NodejsFunction, OutputFormat } from 'aws-cdk-lib/aws-lambda-nodejs';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Config, Role as RegionRole } from '../../config/config.ts';
import { FUNCTIONS, type FunctionName, type FunctionSpec } from '../functions.ts';
import { functionLogGroup, functionName, tableName } from '../names.ts';
import { auditBuckets, auditStatements } from './audit-access.ts';
import { backupBuckets, journalStatements } from './journal-access.ts';
import { keyCheckStatement, tableStatements } from './table-access.ts';

const ROOT = join(import.meta.dirname, '..', '..');

export interface ServiceFunctionProps {
  readonly config: Config;
  readonly role: RegionRole;
  /** Which entry of `FUNCTIONS`; its code is `lambdas/<name>.ts`. */
  readonly name: FunctionName;
  /** What the function is called in this Region. @default name */
  readonly as?: string;
  readonly key: IKey;
  readonly keyId: string;
  /** Of its execution role, where another account's policies let it in. @default one that nobody knows beforehand */
  readonly roleName?: string | undefined;
  /** Beside what every function gets. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Set when provisioned concurrency is kept for it; see {@link LiveAlias}. */
  readonly warm?: number;
  readonly removalPolicy: RemovalPolicy;
}

export class ServiceFunction extends Construct {
  readonly function: NodejsFunction;
  readonly spec: FunctionSpec;
  /** What the function is called, without project and stage. */
  readonly shortName: string;
  readonly functionName: string;

  constructor(scope: Construct, id: string, props: ServiceFunctionProps) {
    super(scope, id);
    const {
      config,
      role,
      name,
      as = name,
      key,
      keyId,
      roleName,
      environment = {},
      warm,
      removalPolicy,
    } = props;
    const { stage, regions, capacity, auth, logRetentionDays } = config;
    const spec: FunctionSpec = FUNCTIONS[name];
    this.spec = spec;
    this.shortName = as;
    this.functionName = functionName(stage, as);

    const logGroup = new LogGroup(this, 'Log', {
      logGroupName: functionLogGroup(stage, as),
      encryptionKey: key,
      retention: logRetentionDays,
      removalPolicy,
    });
    const executionRole = new Role(this, 'Role', {
      ...(roleName !== undefined && { roleName }),
      description: `What ${this.functionName} may do`,
      assumedBy: new ServicePrincipal('lambda.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    });
    executionRole.addToPolicy(
      new PolicyStatement({
        sid: 'Log',
        actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        resources: [logGroup.logGroupArn],
      }),
    );
    if (spec.table)
      for (const statement of tableStatements(Stack.of(this), config, keyId, spec.table))
        executionRole.addToPolicy(statement);
    if (spec.audit)
      for (const statement of auditStatements(Stack.of(this), config, keyId, spec.audit))
        executionRole.addToPolicy(statement);
    if (spec.journal)
      for (const statement of journalStatements(Stack.of(this), config, keyId))
        executionRole.addToPolicy(statement);
    if (spec.usesKey) executionRole.addToPolicy(keyCheckStatement(key.keyArn));

    this.function = new NodejsFunction(this, 'Function', {
      functionName: this.functionName,
      // The warm number stands here because a version is published only when its function changes, and a version's
      // provisioned concurrency cannot be changed without publishing another (ADR 0003).
      description: `Eden Field ${stage}: ${as}${warm === undefined ? '' : `, ${warm} kept warm`}`,
      entry: join(ROOT, 'lambdas', `${name}.ts`),
      handler: 'handler',
      projectRoot: ROOT,
      depsLockFilePath: join(ROOT, 'package-lock.json'),
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: spec.memoryMb ?? capacity.memoryMb,
      timeout: Duration.seconds(spec.timeoutS),
      role: executionRole,
      logGroup,
      tracing: Tracing.ACTIVE,
      ...(spec.reserved === undefined
        ? {}
        : { reservedConcurrentExecutions: reservedOf(config, spec.reserved) }),
      environment: {
        EDEN_STAGE: stage,
        EDEN_ROLE: role,
        EDEN_REGIONS: JSON.stringify(regions),
        POWERTOOLS_METRICS_NAMESPACE: 'EdenField',
        POWERTOOLS_SERVICE_NAME: spec.service,
        ...(spec.table ? { TABLE_NAME: tableName(stage) } : {}),
        ...(spec.audit ? { AUDIT_BUCKETS: JSON.stringify(auditBuckets(Stack.of(this), config)) } : {}),
        ...(spec.journal ? { BACKUP_BUCKETS: JSON.stringify(backupBuckets(Stack.of(this), config)) } : {}),
        ...(spec.nodeOptions === undefined ? {} : { NODE_OPTIONS: spec.nodeOptions }),
        ...(spec.usesKey ? { KEY_ARN: key.keyArn } : {}),
        ...(name === 'authorizer'
          ? {
              JWT_ISSUER: auth.issuer,
              JWT_AUDIENCE: auth.audience,
              JWT_KEY_SET: JSON.stringify(auth.keySet),
            }
          : {}),
        ...environment,
      },
      awsSdkConnectionReuse: false,
      bundling: {
        format: OutputFormat.ESM,
        target: 'node24',
        mainFields: ['module', 'main'],
        minify: true,
        // Logs name errors by their class.
        keepNames: true,
        logLevel: LogLevel.WARNING,
        // The runtime's own SDK changes under a deployed function; ours is what was tested.
        bundleAwsSDK: true,
        externalModules: [],
        loader: { '.yaml': 'text' },
      },
      currentVersionOptions: {
        // Kept versions would keep their provisioned concurrency, and its price.
        removalPolicy: RemovalPolicy.DESTROY,
        ...(warm === undefined ? {} : { provisionedConcurrentExecutions: warm }),
      },
    });
  }
}

function reservedOf({ capacity }: Config, kind: 'health' | 'authorizer'): number {
  return kind === 'health' ? capacity.healthReservedConcurrency : capacity.authorizerReservedConcurrency;
}
