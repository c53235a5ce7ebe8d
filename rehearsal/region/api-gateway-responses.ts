// What API Gateway answers by itself: each kind with AWS's own status and words, unless the template's gateway
// responses say otherwise, with their variables put in.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
import type { ProxyAnswer } from './api-gateway-event.ts';
import type { GatewayResponseModel } from './api-gateway-model.ts';

interface Default {
  readonly status: number;
  readonly message: string | null;
  /** Header `x-amzn-ErrorType`. */
  readonly errorType: string;
}

const DEFAULTS = {
  ACCESS_DENIED: {
    status: 403,
    message: 'User is not authorized to access this resource',
    errorType: 'AccessDeniedException',
  },
  API_CONFIGURATION_ERROR: {
    status: 500,
    message: 'Internal server error',
    errorType: 'InternalServerErrorException',
  },
  AUTHORIZER_CONFIGURATION_ERROR: {
    status: 500,
    message: null,
    errorType: 'AuthorizerConfigurationException',
  },
  AUTHORIZER_FAILURE: { status: 500, message: null, errorType: 'CustomAuthorizerFailureException' },
  BAD_REQUEST_PARAMETERS: {
    status: 400,
    message: 'Missing required request parameters',
    errorType: 'BadRequestException',
  },
  // A function that failed, or answered something else than an answer: no type of its own, only the default.
  DEFAULT_5XX: { status: 502, message: 'Internal server error', errorType: 'InternalServerErrorException' },
  // Documented as 504, but what Lambda refuses (throttling) reaches callers as 500:
  // https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html#services-apigateway-errors
  INTEGRATION_FAILURE: {
    status: 500,
    message: 'Internal server error',
    errorType: 'InternalServerErrorException',
  },
  INTEGRATION_TIMEOUT: {
    status: 504,
    message: 'Endpoint request timed out',
    errorType: 'InternalServerErrorException',
  },
  MISSING_AUTHENTICATION_TOKEN: {
    status: 403,
    message: 'Missing Authentication Token',
    errorType: 'MissingAuthenticationTokenException',
  },
  REQUEST_TOO_LARGE: { status: 413, message: 'Request Too Long', errorType: 'RequestTooLargeException' },
  THROTTLED: { status: 429, message: 'Too Many Requests', errorType: 'TooManyRequestsException' },
  UNAUTHORIZED: { status: 401, message: 'Unauthorized', errorType: 'UnauthorizedException' },
} as const satisfies Record<string, Default>;

export type GatewayResponseType = keyof typeof DEFAULTS;

/** An answer of API Gateway's own, thrown to end a request wherever it stands. */
export class GatewayAnswer extends Error {
  override readonly name = 'GatewayAnswer';
  readonly type: GatewayResponseType;
  constructor(type: GatewayResponseType, message: string | null = DEFAULTS[type].message) {
    super(message ?? '');
    this.type = type;
  }
}

/** What `$context` and `method.request.header` give; undefined is an empty text. */
export interface ResponseVariables {
  context(name: string): string | undefined;
  header(name: string): string | undefined;
}

const DEFAULT_TEMPLATE = '{"message":$context.error.messageString}';

/** The answer with its template; content type application/json unless a header says otherwise. */
export function gatewayAnswer(
  { type, message }: GatewayAnswer,
  responses: ReadonlyMap<string, GatewayResponseModel>,
  variables: ResponseVariables,
): ProxyAnswer {
  const { status, errorType } = DEFAULTS[type];
  const fallback = status >= 500 ? 'DEFAULT_5XX' : 'DEFAULT_4XX';
  const own = responses.get(type);
  const model = own ?? responses.get(fallback);
  const text = message === '' ? null : message;
  const context = (name: string): string => {
    if (name === 'error.message') return text ?? '';
    if (name === 'error.messageString') return JSON.stringify(text);
    if (name === 'error.responseType') return type;
    return variables.context(name) ?? '';
  };
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'x-amzn-ErrorType': errorType,
  };
  for (const [name, expression] of model?.headers ?? [])
    headers[name] = parameterValue(expression, context, variables);
  const template =
    model?.templates.get('application/json') ?? [...(model?.templates.values() ?? [])][0] ?? DEFAULT_TEMPLATE;
  return {
    status: model?.statusCode ?? status,
    headers,
    body: Buffer.from(
      template.replace(/\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)/g, (_, name: string) => context(name)),
    ),
  };
}

/** A response parameter: `'text'`, `context.<name>` or `method.request.header.<name>`. */
function parameterValue(
  expression: string,
  context: (name: string) => string,
  { header }: ResponseVariables,
): string {
  const literal = /^'(.*)'$/s.exec(expression)?.[1];
  if (literal !== undefined) return literal;
  if (expression.startsWith('context.')) return context(expression.slice('context.'.length));
  const name = /^method\.request\.header\.(.+)$/.exec(expression)?.[1];
  return (name === undefined ? undefined : header(name)) ?? '';
}
