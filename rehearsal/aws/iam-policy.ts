// Policy documents: what a statement says, and whether it speaks of a request.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
import { asList, type Context, isRecord, judgeConditions, wildcard } from './iam-conditions.ts';

/** One permission that a request needs. */
export interface Access {
  /** E.g. `dynamodb:PutItem`. */
  readonly action: string;
  /** An ARN, or `*` for what has none. */
  readonly resource: string;
  readonly context: Context;
}

export interface Statement {
  /** Which policy it stands in, for people. */
  readonly policy: string;
  readonly effect: 'Allow' | 'Deny';
  readonly actions: readonly string[];
  /** Whether `actions` are those it does not speak of. */
  readonly notActions: boolean;
  /** Empty in a policy that hangs on a resource and means it. */
  readonly resources: readonly string[];
  readonly notResources: boolean;
  /** Of a resource's policy: `*`, ARNs, account ids; services as `service:<name>`. */
  readonly principals: readonly string[];
  readonly conditions: unknown;
}

/** @throws TypeError the document does not read as a policy; says which and where */
export function readPolicy(document: unknown, policy: string): readonly Statement[] {
  if (!isRecord(document))
    throw new TypeError(`${policy}: expected a policy document, got ${typeof document}`);
  return asList(document['Statement']).map((statement, at) =>
    readStatement(statement, `${policy}#${at + 1}`),
  );
}

function readStatement(statement: unknown, policy: string): Statement {
  if (!isRecord(statement)) throw new TypeError(`${policy}: expected a statement, got ${typeof statement}`);
  const { Effect: effect, Condition: conditions } = statement;
  if (effect !== 'Allow' && effect !== 'Deny')
    throw new TypeError(`${policy}: Effect: expected Allow or Deny, got ${String(effect)}`);
  const actions = texts(statement, 'Action', policy);
  const notActions = texts(statement, 'NotAction', policy);
  if ((actions.length === 0) === (notActions.length === 0))
    throw new TypeError(
      `${policy}: expected Action or NotAction, got ${actions.length === 0 ? 'neither' : 'both'}`,
    );
  const notResources = texts(statement, 'NotResource', policy);
  return {
    policy,
    effect,
    actions: [...actions, ...notActions],
    notActions: notActions.length > 0,
    resources: [...texts(statement, 'Resource', policy), ...notResources],
    notResources: notResources.length > 0,
    principals: principalsOf(statement['Principal']),
    conditions,
  };
}

function texts(
  statement: Readonly<Record<string, unknown>>,
  member: string,
  policy: string,
): readonly string[] {
  return asList(statement[member]).map((value) => {
    if (typeof value === 'string') return value;
    throw new TypeError(`${policy}: ${member}: expected text, got ${JSON.stringify(value)}`);
  });
}

function principalsOf(principal: unknown): readonly string[] {
  if (!isRecord(principal)) return asList(principal).map(String);
  const aws = asList(principal['AWS']).map(String);
  return [...aws, ...asList(principal['Service']).map((name) => `service:${String(name)}`)];
}

export interface Reading {
  readonly matches: boolean;
  /** What in it was not understood: then an Allow does not match and a Deny does. */
  readonly notUnderstood?: string;
}

/** Whether a statement speaks of a request; who asks is another matter. */
export function reads(statement: Statement, { action, resource, context }: Access): Reading {
  const { actions, notActions, resources, notResources, conditions, effect } = statement;
  if (actions.some((pattern) => wildcard(pattern, 'i').test(action)) === notActions)
    return { matches: false };
  const variable = resources.find((pattern) => pattern.includes('${'));
  if (variable !== undefined)
    return { matches: effect === 'Deny', notUnderstood: `policy variable in ${variable}` };
  if (resources.length > 0 && resources.some((pattern) => wildcard(pattern).test(resource)) === notResources)
    return { matches: false };
  const verdict = judgeConditions(conditions, context);
  if (verdict.kind === 'not-understood') return { matches: effect === 'Deny', notUnderstood: verdict.what };
  return { matches: verdict.kind === 'met' };
}
