// The REST APIs of a region as the templates describe them: a tree of resources to match paths against, and for each
// method what stands before and behind it. What the front does not play is listed, never ignored in silence.
import type { Deployment, Resource } from '../assembly/assembly.ts';
import { isFields } from '../assembly/intrinsics.ts';

export const PLAYED_TYPES: readonly string[] = [
  'AWS::ApiGateway::Authorizer',
  'AWS::ApiGateway::BasePathMapping',
  'AWS::ApiGateway::Deployment',
  'AWS::ApiGateway::DomainName',
  'AWS::ApiGateway::GatewayResponse',
  'AWS::ApiGateway::Method',
  'AWS::ApiGateway::RequestValidator',
  'AWS::ApiGateway::Resource',
  'AWS::ApiGateway::RestApi',
  'AWS::ApiGateway::Stage',
];

export interface AuthorizerModel {
  readonly id: string;
  readonly type: 'REQUEST' | 'TOKEN';
  readonly functionArn: string;
  /** Where the caller's identity stands, e.g. `method.request.header.Authorization`; also the cache's key. */
  readonly identitySources: readonly string[];
  /** For TOKEN: what a token must look like to be worth a call. */
  readonly validation: RegExp | undefined;
  readonly cacheTtlMs: number;
}

export interface Throttle {
  /** Requests per second in the long run, and at once. */
  readonly rate: number;
  readonly burst: number;
}

export interface MethodModel {
  readonly resourceId: string;
  /** As in the template, e.g. `/v1/records/{collection}`. */
  readonly resourcePath: string;
  /** `ANY` stands for all. */
  readonly httpMethod: string;
  readonly authorizer: AuthorizerModel | undefined;
  readonly functionArn: string;
  readonly timeoutMs: number;
  /** Parameters that a validator insists on, e.g. `method.request.querystring.limit`. */
  readonly required: readonly string[];
  readonly throttle: Throttle | undefined;
}

export interface PathNode {
  readonly literals: Map<string, PathNode>;
  readonly methods: Map<string, MethodModel>;
  /** `{name}`, or `{name+}`, which takes all the rest. */
  parameter?: { readonly name: string; readonly node: PathNode };
  greedy?: { readonly name: string; readonly node: PathNode };
}

export interface GatewayResponseModel {
  readonly statusCode: number | undefined;
  /** By lower-case header name: the expression, e.g. `'text'` or `context.requestId`. */
  readonly headers: ReadonlyMap<string, string>;
  /** By content type. */
  readonly templates: ReadonlyMap<string, string>;
}

export interface ApiModel {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  readonly account: string;
  readonly stage: string;
  readonly stageVariables: Readonly<Record<string, string>> | null;
  readonly root: PathNode;
  readonly responses: ReadonlyMap<string, GatewayResponseModel>;
  readonly binaryMediaTypes: readonly string[];
  /** In front of every path, without slashes; the empty one is the root. */
  readonly basePaths: readonly string[];
}

const TIMEOUT_MS_DEFAULT = 29_000;
const AUTHORIZER_TTL_S_DEFAULT = 300;

/** The APIs of a region, and what of them is not played, in words. */
export function apisOf(
  deployment: Deployment,
  region: string,
): { apis: readonly ApiModel[]; notRehearsed: readonly string[] } {
  const notRehearsed: string[] = [];
  const apis = deployment
    .ofType('AWS::ApiGateway::RestApi', region)
    .flatMap((api) => apiOf(deployment, api, notRehearsed) ?? []);
  return { apis, notRehearsed };
}

function apiOf(deployment: Deployment, api: Resource, notRehearsed: string[]): ApiModel | undefined {
  const { region, physicalId: id } = api;
  const mine = (type: string) =>
    deployment
      .ofType(`AWS::ApiGateway::${type}`, region)
      .filter(({ properties: { RestApiId } }) => RestApiId === id);
  const [stage, ...others] = mine('Stage');
  if (!stage) {
    notRehearsed.push(`${api.stack}/${api.logicalId}: an API without a stage answers nothing`);
    return undefined;
  }
  for (const other of others)
    notRehearsed.push(`${other.stack}/${other.logicalId}: only the first stage of an API is played`);
  for (const part of ['Policy', 'Body', 'BodyS3Location'])
    if (api.properties[part] !== undefined)
      notRehearsed.push(`${api.stack}/${api.logicalId}: AWS::ApiGateway::RestApi ${part}`);
  for (const part of ['AccessLogSetting', 'CanarySetting'])
    if (stage.properties[part] !== undefined)
      notRehearsed.push(`${stage.stack}/${stage.logicalId}: AWS::ApiGateway::Stage ${part}`);
  if (stage.properties['CacheClusterEnabled'] === true)
    notRehearsed.push(`${stage.stack}/${stage.logicalId}: the stage's response cache`);
  const paths = pathsOf(mine('Resource'));
  const root = emptyNode();
  const context = {
    paths,
    stage,
    authorizers: new Map(mine('Authorizer').map((it) => [it.physicalId, it])),
    validators: new Map(mine('RequestValidator').map((it) => [it.physicalId, it])),
    notRehearsed,
  };
  for (const method of mine('Method')) {
    const model = methodOf(method, context);
    if (model) nodeAt(root, model.resourcePath).methods.set(model.httpMethod, model);
  }
  const mappings = deployment
    .ofType('AWS::ApiGateway::BasePathMapping', region)
    .filter(({ properties: { RestApiId } }) => RestApiId === id)
    .map(({ properties: { BasePath } }) =>
      BasePath === undefined || BasePath === '(none)' ? '' : `${BasePath}`,
    );
  return {
    id,
    name: String(api.properties['Name'] ?? id),
    region,
    account: deployment.account,
    stage: stage.physicalId,
    stageVariables: isFields(stage.properties['Variables'])
      ? textFields(stage.properties['Variables'])
      : null,
    root,
    responses: new Map(
      mine('GatewayResponse').map(({ properties }) => [
        String(properties['ResponseType']),
        responseOf(properties),
      ]),
    ),
    binaryMediaTypes: [api.properties['BinaryMediaTypes'] ?? []].flat().map(String),
    basePaths: mappings.length > 0 ? [...new Set(mappings)] : [''],
  };
}

interface MethodContext {
  readonly paths: ReadonlyMap<string, string>;
  readonly stage: Resource;
  readonly authorizers: ReadonlyMap<string, Resource>;
  readonly validators: ReadonlyMap<string, Resource>;
  readonly notRehearsed: string[];
}

function methodOf(method: Resource, context: MethodContext): MethodModel | undefined {
  const { properties, stack, logicalId } = method;
  const resourceId = String(properties['ResourceId']);
  // What is no child of another is the root.
  const resourcePath = context.paths.get(resourceId) ?? '/';
  const httpMethod = String(properties['HttpMethod']);
  const refuse = (what: string): undefined => {
    context.notRehearsed.push(`${stack}/${logicalId} (${httpMethod} ${resourcePath}): ${what}`);
    return undefined;
  };
  const integration = isFields(properties['Integration']) ? properties['Integration'] : {};
  const functionArn = functionOf(integration['Uri']);
  if (integration['Type'] !== 'AWS_PROXY' || functionArn === undefined)
    return refuse(`integration type ${integration['Type']}, answered with 500`);
  if (integration['Credentials'] !== undefined) refuse('an integration with credentials of its own');
  if (properties['ApiKeyRequired'] === true) refuse('API keys');
  const authorizationType = String(properties['AuthorizationType'] ?? 'NONE');
  const resource = context.authorizers.get(String(properties['AuthorizerId']));
  const authorizer = resource && authorizerOf(resource);
  if (authorizationType !== 'NONE' && !(authorizationType === 'CUSTOM' && authorizer))
    return refuse(`authorization ${authorizationType}, so the method is closed`);
  const validator = context.validators.get(String(properties['RequestValidatorId']))?.properties;
  if (validator?.['ValidateRequestBody'] === true) refuse('validation of bodies');
  const parameters = isFields(properties['RequestParameters']) ? properties['RequestParameters'] : {};
  return {
    resourceId,
    resourcePath,
    httpMethod,
    authorizer: authorizationType === 'NONE' ? undefined : authorizer,
    functionArn,
    timeoutMs: Number(integration['TimeoutInMillis'] ?? TIMEOUT_MS_DEFAULT),
    required:
      validator?.['ValidateRequestParameters'] === true
        ? Object.keys(parameters).filter((name) => parameters[name] === true)
        : [],
    throttle: throttleOf(context.stage, resourcePath, httpMethod),
  };
}

function authorizerOf({ physicalId: id, properties }: Resource): AuthorizerModel | undefined {
  const functionArn = functionOf(properties['AuthorizerUri']);
  const type = properties['Type'];
  if (functionArn === undefined || (type !== 'REQUEST' && type !== 'TOKEN')) return undefined;
  const validation = properties['IdentityValidationExpression'];
  return {
    id,
    type,
    functionArn,
    identitySources: String(properties['IdentitySource'] ?? '')
      .split(',')
      .map((source) => source.trim())
      .filter(Boolean),
    validation: typeof validation === 'string' ? new RegExp(`^(?:${validation})$`) : undefined,
    cacheTtlMs: Number(properties['AuthorizerResultTtlInSeconds'] ?? AUTHORIZER_TTL_S_DEFAULT) * 1_000,
  };
}

/** `arn:aws:apigateway:<region>:lambda:path/2015-03-31/functions/<function ARN>/invocations`. */
function functionOf(uri: unknown): string | undefined {
  return /\/functions\/(arn:[^/]+)\/invocations$/.exec(String(uri))?.[1];
}

/** The method's own setting before the stage's for all methods, as `/~1v1~1records` and `/*`. */
function throttleOf(stage: Resource, resourcePath: string, httpMethod: string): Throttle | undefined {
  const settings = [stage.properties['MethodSettings'] ?? []].flat().filter(isFields);
  const encoded = `/${resourcePath.replace(/^\//, '~1').replaceAll('/', '~1')}`;
  const fits = (path: string, method: string) =>
    settings.find((it) => it['ResourcePath'] === path && it['HttpMethod'] === method);
  const setting = fits(encoded, httpMethod) ?? fits(encoded, '*') ?? fits('/*', '*');
  const { ThrottlingRateLimit: rate, ThrottlingBurstLimit: burst } = setting ?? {};
  return rate === undefined || burst === undefined ? undefined : { rate: Number(rate), burst: Number(burst) };
}

function responseOf(properties: Readonly<Record<string, unknown>>): GatewayResponseModel {
  const { ResponseParameters, ResponseTemplates, StatusCode } = properties;
  const prefix = 'gatewayresponse.header.';
  return {
    statusCode: StatusCode === undefined ? undefined : Number(StatusCode),
    headers: new Map(
      Object.entries(textFields(ResponseParameters))
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, expression]) => [name.slice(prefix.length).toLowerCase(), expression]),
    ),
    templates: new Map(Object.entries(textFields(ResponseTemplates))),
  };
}

function pathsOf(resources: readonly Resource[]): ReadonlyMap<string, string> {
  const byId = new Map(resources.map((resource) => [resource.physicalId, resource.properties]));
  const pathOf = (id: string): string => {
    const properties = byId.get(id);
    return properties ? `${pathOf(String(properties['ParentId']))}/${properties['PathPart']}` : '';
  };
  return new Map(resources.map(({ physicalId }) => [physicalId, pathOf(physicalId)]));
}

function emptyNode(): PathNode {
  return { literals: new Map(), methods: new Map() };
}

function nodeAt(root: PathNode, resourcePath: string): PathNode {
  let node = root;
  for (const part of resourcePath.split('/').filter(Boolean)) {
    const [, name, plus] = /^\{([^}+]+)(\+?)\}$/.exec(part) ?? [];
    if (name === undefined) {
      const next = node.literals.get(part) ?? emptyNode();
      node.literals.set(part, next);
      node = next;
    } else if (plus) {
      node.greedy ??= { name, node: emptyNode() };
      node = node.greedy.node;
    } else {
      node.parameter ??= { name, node: emptyNode() };
      node = node.parameter.node;
    }
  }
  return node;
}

export interface Match {
  readonly method: MethodModel;
  readonly parameters: Readonly<Record<string, string>>;
}

/** The method for a path's segments: literal parts before parameters, parameters before greedy ones. Values stay
 * percent-encoded, as REST APIs hand them on. */
export function matchMethod(
  root: PathNode,
  segments: readonly string[],
  httpMethod: string,
): Match | undefined {
  const found = matchNode(root, segments, {});
  const method = found?.node.methods.get(httpMethod) ?? found?.node.methods.get('ANY');
  return found && method ? { method, parameters: found.parameters } : undefined;
}

function matchNode(
  node: PathNode,
  segments: readonly string[],
  parameters: Readonly<Record<string, string>>,
): { node: PathNode; parameters: Readonly<Record<string, string>> } | undefined {
  const [first, ...rest] = segments;
  if (first === undefined) return node.methods.size > 0 ? { node, parameters } : undefined;
  const literal = node.literals.get(first);
  const { parameter, greedy } = node;
  return (
    (literal && matchNode(literal, rest, parameters)) ??
    (parameter && first !== ''
      ? matchNode(parameter.node, rest, { ...parameters, [parameter.name]: first })
      : undefined) ??
    (greedy && { node: greedy.node, parameters: { ...parameters, [greedy.name]: segments.join('/') } })
  );
}

function textFields(value: unknown): Readonly<Record<string, string>> {
  return isFields(value)
    ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, String(item)]))
    : {};
}
