// Lambda authorizers: whether a request names its caller at all, what the authorizer's function says of that caller,
// remembered for a while, and whether the policy it gave allows this method.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html

import { isFields } from '../assembly/intrinsics.ts';
import { type GatewayRequest, headerOf, requestEvent } from './api-gateway-event.ts';
import type { ApiModel, AuthorizerModel, Match } from './api-gateway-model.ts';
import { GatewayAnswer } from './api-gateway-responses.ts';
import type { InvokeRequest, InvokeResult } from './lambda.ts';

export interface Verdict {
  readonly principalId: string;
  readonly statements: readonly Statement[];
  /** What the integration finds in `requestContext.authorizer`; all of it text. */
  readonly context: Readonly<Record<string, string>>;
}

interface Statement {
  readonly allows: boolean;
  readonly resources: readonly RegExp[];
}

export type Invoke = (request: InvokeRequest) => Promise<InvokeResult>;

/** So many remembered callers are enough for a rehearsal; the oldest go first. */
const CACHE_MAX = 10_000;

export class Authorizers {
  readonly #api: ApiModel;
  readonly #invoke: Invoke;
  readonly #now: () => number;
  readonly #cache = new Map<string, { readonly verdict: Verdict; readonly expiresAt: number }>();

  /** `now` in milliseconds of a steady clock. */
  constructor(api: ApiModel, invoke: Invoke, now: () => number) {
    this.#api = api;
    this.#invoke = invoke;
    this.#now = now;
  }

  /**
   * What the integration gets as `requestContext.authorizer`; undefined for a method without an authorizer.
   * @throws GatewayAnswer the caller is unknown or may not, or the authorizer failed
   */
  async authorize(
    request: GatewayRequest,
    match: Match,
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { authorizer } = match.method;
    if (!authorizer) return undefined;
    const identity = authorizer.identitySources.map((source) => this.#source(source, request));
    if (identity.some((value) => !value)) throw new GatewayAnswer('UNAUTHORIZED');
    const methodArn = methodArnOf(this.#api, request);
    const startedAt = this.#now();
    const verdict = await this.#verdict(authorizer, identity as string[], request, match, methodArn);
    const integrationLatency = Math.round(this.#now() - startedAt);
    const refusal = refusalOf(verdict.statements, methodArn);
    if (refusal) throw new GatewayAnswer('ACCESS_DENIED', refusal);
    return { ...verdict.context, principalId: verdict.principalId, integrationLatency };
  }

  async #verdict(
    authorizer: AuthorizerModel,
    identity: readonly string[],
    request: GatewayRequest,
    match: Match,
    methodArn: string,
  ): Promise<Verdict> {
    const { cacheTtlMs, functionArn, type, validation } = authorizer;
    const token = identity[0] ?? '';
    if (type === 'TOKEN' && validation?.test(token) === false) throw new GatewayAnswer('UNAUTHORIZED');
    const key = JSON.stringify([authorizer.id, ...identity]);
    const remembered = this.#cache.get(key);
    if (remembered && remembered.expiresAt > this.#now()) return remembered.verdict;
    const event =
      type === 'TOKEN'
        ? { type, methodArn, authorizationToken: token }
        : { type, methodArn, ...requestEvent(request, match, this.#api) };
    const { id, region, account } = this.#api;
    const verdict = verdictOf(
      await this.#call({
        functionArn,
        invoker: {
          service: 'apigateway.amazonaws.com',
          sourceArn: `arn:aws:execute-api:${region}:${account}:${id}/authorizers/${authorizer.id}`,
        },
        payload: JSON.stringify(event),
      }),
    );
    if (cacheTtlMs > 0 && authorizer.identitySources.length > 0) {
      this.#cache.delete(key);
      this.#cache.set(key, { verdict, expiresAt: this.#now() + cacheTtlMs });
      if (this.#cache.size > CACHE_MAX) this.#cache.delete(this.#cache.keys().next().value as string);
    }
    return verdict;
  }

  async #call(request: InvokeRequest): Promise<string> {
    let result: InvokeResult;
    try {
      result = await this.#invoke(request);
    } catch (refused) {
      throw new GatewayAnswer('AUTHORIZER_CONFIGURATION_ERROR', String(refused));
    }
    if (result.functionError?.errorMessage === 'Unauthorized') throw new GatewayAnswer('UNAUTHORIZED');
    if (result.functionError) throw new GatewayAnswer('AUTHORIZER_FAILURE');
    return result.payload;
  }

  #source(source: string, request: GatewayRequest): string | undefined {
    const [, header] = /^method\.request\.header\.(.+)$/.exec(source) ?? [];
    if (header !== undefined) return headerOf(request, header);
    const [, query] = /^method\.request\.querystring\.(.+)$/.exec(source) ?? [];
    if (query !== undefined) return request.query.getAll(query).at(-1);
    const [, variable] = /^stageVariables\.(.+)$/.exec(source) ?? [];
    if (variable !== undefined) return this.#api.stageVariables?.[variable];
    const [, context] = /^context\.(.+)$/.exec(source) ?? [];
    return context === undefined ? undefined : contextSources(this.#api, request)[context];
  }
}

/** What `context.<name>` may name as an identity source. */
function contextSources(api: ApiModel, request: GatewayRequest): Readonly<Record<string, string>> {
  return {
    apiId: api.id,
    httpMethod: request.method,
    'identity.sourceIp': request.sourceIp,
    stage: api.stage,
  };
}

/** The ARN of the method as it was asked for: the path itself, not the resource's. */
function methodArnOf({ id, region, account, stage }: ApiModel, { method, path }: GatewayRequest): string {
  return `arn:aws:execute-api:${region}:${account}:${id}/${stage}/${method}${path}`;
}

/** @throws GatewayAnswer it is not what an authorizer may answer */
function verdictOf(payload: string): Verdict {
  const malformed = () => new GatewayAnswer('AUTHORIZER_CONFIGURATION_ERROR');
  const answer: unknown = JSON.parse(payload);
  if (!isFields(answer) || typeof answer['principalId'] !== 'string') throw malformed();
  const document = answer['policyDocument'];
  const statements = isFields(document) ? [document['Statement'] ?? []].flat() : undefined;
  if (!statements) throw malformed();
  const context: Record<string, string> = {};
  for (const [name, value] of Object.entries(isFields(answer['context']) ? answer['context'] : {})) {
    if (value === null) continue;
    if (!['string', 'number', 'boolean'].includes(typeof value)) throw malformed();
    context[name] = String(value);
  }
  return {
    principalId: answer['principalId'],
    statements: statements.flatMap((statement) => statementOf(statement, malformed) ?? []),
    context,
  };
}

/** Undefined for a statement about other actions. Conditions and Not… are not played: they count as malformed. */
function statementOf(statement: unknown, malformed: () => Error): Statement | undefined {
  if (!isFields(statement)) throw malformed();
  const { Action, Effect, Resource, Condition, NotAction, NotResource } = statement;
  if (Condition !== undefined || NotAction !== undefined || NotResource !== undefined) throw malformed();
  if (Effect !== 'Allow' && Effect !== 'Deny') throw malformed();
  const actions = [Action ?? []].flat().map(String);
  if (!actions.some((action) => pattern(action.toLowerCase()).test('execute-api:invoke'))) return undefined;
  return { allows: Effect === 'Allow', resources: [Resource ?? []].flat().map((it) => pattern(String(it))) };
}

/** IAM's wildcards: `*` is any text, `?` any one character. */
function pattern(text: string): RegExp {
  const escaped = text.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's');
}

/** Why the statements do not allow it; undefined when they do. A denial beats every allowance. */
function refusalOf(statements: readonly Statement[], methodArn: string): string | undefined {
  const fitting = statements.filter(({ resources }) => resources.some((it) => it.test(methodArn)));
  if (fitting.some(({ allows }) => !allows))
    return 'User is not authorized to access this resource with an explicit deny in an identity-based policy';
  return fitting.length > 0 ? undefined : 'User is not authorized to access this resource';
}
