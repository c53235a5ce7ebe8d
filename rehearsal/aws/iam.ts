// Who may do what: the roles of the templates with exactly the policies that the templates give them. Nothing is
// allowed that no policy allows; what was used is kept, so that permissions nobody needs can be named.
import type { Resource } from '../assembly/assembly.ts';
import { OPERATOR } from './credentials.ts';
import { asList, isRecord, wildcard } from './iam-conditions.ts';
import { type Access, type Reading, readPolicy, reads, type Statement } from './iam-policy.ts';
import { commonError } from './service-error.ts';

export type { Access } from './iam-policy.ts';

/** What of a deployment permissions are made of. */
export interface PolicySource {
  readonly account: string;
  ofType(type: string, region?: string): readonly Resource[];
}

/** A permission some policy gives, by its patterns. */
export interface Grant {
  readonly principalArn: string;
  readonly policy: string;
  readonly action: string;
  readonly resource: string;
}

/** The policy of a resource that is asked for. */
export interface ResourcePolicy {
  readonly statements: readonly Statement[];
  /** As a KMS key's: it must allow the caller, or leave the decision to its account's policies. Otherwise, as a
   * bucket's, it may allow or deny what the caller's own policies do not. */
  readonly mustAllow: boolean;
}

/** Who wants to invoke a function: a role, or a service on behalf of a resource. */
export type Invoker = { readonly roleArn: string } | { readonly service: string; readonly sourceArn: string };

/**
 * Policies of AWS's own that the rehearsal knows, with what they allow on everything: logs, traces and releases, none
 * of which it checks. https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
 */
const AWS_MANAGED: Readonly<Record<string, readonly string[]>> = {
  AWSLambdaBasicExecutionRole: ['logs:CreateLogGroup', 'logs:CreateLogStream', 'logs:PutLogEvents'],
  AWSXRayDaemonWriteAccess: [
    'xray:PutTraceSegments',
    'xray:PutTelemetryRecords',
    'xray:GetSamplingRules',
    'xray:GetSamplingTargets',
    'xray:GetSamplingStatisticSummaries',
  ],
  AWSCodeDeployRoleForLambdaLimited: [
    'cloudwatch:DescribeAlarms',
    'lambda:UpdateAlias',
    'lambda:GetAlias',
    'lambda:GetProvisionedConcurrencyConfig',
  ],
  AmazonAPIGatewayPushToCloudWatchLogs: [
    'logs:CreateLogGroup',
    'logs:CreateLogStream',
    'logs:DescribeLogGroups',
    'logs:DescribeLogStreams',
    'logs:PutLogEvents',
    'logs:GetLogEvents',
    'logs:FilterLogEvents',
  ],
};

export class Iam {
  readonly #source: PolicySource;
  /** By role ARN. */
  readonly #statements = new Map<string, readonly Statement[]>();
  readonly #used = new Map<string, Access & { readonly principalArn: string }>();
  readonly #usedGrants = new Set<string>();
  readonly #problems = new Set<string>();
  /** Allowed before, by all that the decision rests on. Policies never change, and most requests ask the same again. */
  readonly #allowed = new Map<string, readonly Statement[] | undefined>();

  /** @throws TypeError a policy does not read as one */
  constructor(source: PolicySource) {
    this.#source = source;
    const shared = this.#sharedPolicies();
    for (const role of source.ofType('AWS::IAM::Role')) {
      if (role.arn === undefined)
        throw new TypeError(`${role.stack}/${role.logicalId}: expected an ARN, got none`);
      if (role.properties['PermissionsBoundary'] !== undefined)
        this.#problems.add(`${role.logicalId}: PermissionsBoundary is not understood`);
      this.#statements.set(role.arn, [
        ...inlineStatements(role),
        ...(shared.get(role.physicalId) ?? []),
        ...asList(role.properties['ManagedPolicyArns']).flatMap((arn) => this.#managed(String(arn), shared)),
      ]);
    }
  }

  /** ARNs of the roles that the templates define. */
  get roleArns(): readonly string[] {
    return [...this.#statements.keys()];
  }

  /** What in the policies was not understood so far. */
  get problems(): readonly string[] {
    return [...this.#problems];
  }

  /** What was allowed so far, each once. */
  get used(): readonly (Pick<Access, 'action' | 'resource'> & { readonly principalArn: string })[] {
    return [...this.#used.values()].map(({ principalArn, action, resource }) => ({
      principalArn,
      action,
      resource,
    }));
  }

  /**
   * Permissions that no request has needed so far.
   * @param services those that are checked, e.g. `dynamodb`: of others nobody knows
   */
  unused(services: readonly string[]): readonly Grant[] {
    return [...this.#statements]
      .flatMap(([principalArn, statements]) =>
        statements.flatMap((statement) => grantsOf(principalArn, statement)),
      )
      .filter(
        (grant) =>
          services.includes(grant.action.split(':')[0] ?? '') && !this.#usedGrants.has(nameOf(grant)),
      );
  }

  /**
   * Lets an allowed request pass and remembers it.
   * @param resourcePolicy of a resource that decides with the caller's policies
   * @throws {ServiceError} AccessDeniedException, in AWS's words
   */
  authorize(principalArn: string, access: Access, resourcePolicy?: ResourcePolicy): void {
    // Of single items and objects there is no end.
    const isRepeated = !('dynamodb:LeadingKeys' in access.context || access.resource.includes(':s3:::'));
    const question = isRepeated
      ? JSON.stringify([principalArn, access, resourcePolicy?.mustAllow])
      : undefined;
    const isKnown = question !== undefined && this.#allowed.has(question);
    if (isKnown && this.#allowed.get(question) === resourcePolicy?.statements) return;
    const reason = this.#refusal(principalArn, access, resourcePolicy);
    if (reason === undefined) {
      if (question !== undefined) this.#allowed.set(question, resourcePolicy?.statements);
      // Of S3's objects only their bucket: there is no end of them.
      const resource = access.resource.replace(/^(arn:[^:]+:s3:::[^/]+\/).*$/, '$1*');
      this.#used.set([principalArn, access.action, resource].join(), { ...access, resource, principalArn });
      return;
    }
    throw commonError(
      400,
      'AccessDeniedException',
      `User: ${this.sessionArn(principalArn)} is not authorized to perform: ${access.action} on resource: ${access.resource} ${reason}`,
    );
  }

  /** The principal as a service sees it at work. */
  sessionArn(principalArn: string): string {
    const role = /:role\/(?:.*\/)?([^/]+)$/.exec(principalArn)?.[1];
    return role ? `arn:aws:sts::${this.#source.account}:assumed-role/${role}/rehearsal` : principalArn;
  }

  /**
   * Whether the invoker may invoke a function, an alias or a version, by its full ARN: a role by its own policies, a
   * service by the function's (`AWS::Lambda::Permission`, each for exactly the function, alias or version it names).
   */
  mayInvoke(invoker: Invoker, functionArn: string): boolean {
    if ('roleArn' in invoker) {
      const access = { action: 'lambda:InvokeFunction', resource: functionArn, context: {} };
      const allowed = this.#refusal(invoker.roleArn, access) === undefined;
      if (allowed)
        this.#used.set([invoker.roleArn, access.action, functionArn].join(), {
          ...access,
          principalArn: invoker.roleArn,
        });
      return allowed;
    }
    const region = functionArn.split(':')[3];
    return this.#source
      .ofType('AWS::Lambda::Permission', region)
      .some((permission) => this.#permits(permission, invoker, functionArn));
  }

  #permits(
    { properties }: Resource,
    { service, sourceArn }: { readonly service: string; readonly sourceArn: string },
    functionArn: string,
  ): boolean {
    const { FunctionName: name, Action: action, Principal: principal, SourceArn: source } = properties;
    const { SourceAccount: account } = properties;
    const target = String(name).startsWith('arn:')
      ? String(name)
      : `${functionArn.split(':', 6).join(':')}:${String(name)}`;
    return (
      target === functionArn &&
      wildcard(String(action), 'i').test('lambda:InvokeFunction') &&
      principal === service &&
      (source === undefined || wildcard(String(source)).test(sourceArn)) &&
      (account === undefined || account === this.#source.account)
    );
  }

  /** Why a request is refused, in AWS's words; undefined when it is allowed. */
  #refusal(principalArn: string, access: Access, resourcePolicy?: ResourcePolicy): string | undefined {
    if (principalArn === OPERATOR) return undefined;
    const request = { ...access, context: { ...this.#principalContext(principalArn), ...access.context } };
    const own = this.#matching(this.#statements.get(principalArn) ?? [], request);
    const theirs = this.#matching(resourcePolicy?.statements ?? [], request);
    const named = theirs.filter(
      ({ principals }) => principals.includes(principalArn) || principals.includes('*'),
    );
    const account = [this.#source.account, `arn:aws:iam::${this.#source.account}:root`];
    const delegated = theirs.filter(({ principals }) => principals.some((name) => account.includes(name)));
    if (own.some(({ effect }) => effect === 'Deny'))
      return 'with an explicit deny in an identity-based policy';
    if ([...named, ...delegated].some(({ effect }) => effect === 'Deny'))
      return 'with an explicit deny in a resource-based policy';
    if (named.length > 0) return undefined;
    if (resourcePolicy?.mustAllow && delegated.length === 0)
      return `because no resource-based policy allows the ${access.action} action`;
    if (own.length === 0) return `because no identity-based policy allows the ${access.action} action`;
    for (const statement of own) this.#markUsed(principalArn, statement, access);
    return undefined;
  }

  #matching(statements: readonly Statement[], access: Access): readonly Statement[] {
    return statements.filter((statement) => {
      const { matches, notUnderstood }: Reading = reads(statement, access);
      if (notUnderstood !== undefined)
        this.#problems.add(`${statement.policy}: ${notUnderstood} is not understood`);
      return matches;
    });
  }

  #markUsed(principalArn: string, statement: Statement, { action, resource }: Access): void {
    for (const grant of grantsOf(principalArn, statement))
      if (wildcard(grant.action, 'i').test(action) && wildcard(grant.resource).test(resource))
        this.#usedGrants.add(nameOf(grant));
  }

  #principalContext(principalArn: string) {
    const { account } = this.#source;
    // The rehearsal's loopback connections stand for TLS.
    return {
      'aws:PrincipalArn': principalArn,
      'aws:PrincipalAccount': account,
      'aws:SecureTransport': 'true',
      'kms:CallerAccount': account,
    };
  }

  /** Statements of policies that stand beside the roles they are for, by role name or managed policy's ARN. */
  #sharedPolicies(): Map<string, readonly Statement[]> {
    const shared = new Map<string, readonly Statement[]>();
    const add = (name: string, statements: readonly Statement[]) =>
      shared.set(name, [...(shared.get(name) ?? []), ...statements]);
    for (const type of ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'])
      for (const policy of this.#source.ofType(type)) {
        const statements = readPolicy(policy.properties['PolicyDocument'], policy.logicalId);
        for (const role of asList(policy.properties['Roles'])) add(String(role), statements);
        if (type === 'AWS::IAM::ManagedPolicy') add(policy.arn ?? policy.physicalId, statements);
      }
    return shared;
  }

  #managed(arn: string, shared: ReadonlyMap<string, readonly Statement[]>): readonly Statement[] {
    const ours = shared.get(arn);
    if (ours) return ours;
    const name = arn.slice(arn.lastIndexOf('/') + 1);
    const actions = AWS_MANAGED[name];
    if (actions) return readPolicy({ Statement: { Effect: 'Allow', Action: actions, Resource: '*' } }, name);
    this.#problems.add(`managed policy ${arn} is not known: it grants nothing here`);
    return [];
  }
}

function inlineStatements(role: Resource): readonly Statement[] {
  return asList(role.properties['Policies']).flatMap((policy) => {
    if (!isRecord(policy)) throw new TypeError(`${role.logicalId}: Policies: expected objects`);
    return readPolicy(policy['PolicyDocument'], `${role.logicalId}/${String(policy['PolicyName'])}`);
  });
}

function grantsOf(principalArn: string, statement: Statement): readonly Grant[] {
  const { effect, notActions, notResources, actions, resources, policy } = statement;
  if (effect === 'Deny' || notActions || notResources) return [];
  return actions.flatMap((action) =>
    resources.map((resource) => ({ principalArn, policy, action, resource })),
  );
}

function nameOf({ principalArn, policy, action, resource }: Grant): string {
  return [principalArn, policy, action, resource].join();
}
