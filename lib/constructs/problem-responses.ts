// What API Gateway itself answers, in the same words as our own functions: RFC 9457 problems that name the Region.
import {
  GatewayResponse,
  type GatewayResponseProps,
  type IRestApi,
  ResponseType,
} from 'aws-cdk-lib/aws-apigateway';
import { Construct } from 'constructs';
import { PROBLEM_CONTENT_TYPE, type ProblemCode, problem } from '../../protocol/errors.ts';
import { HEADERS } from '../../protocol/messages.ts';

export interface ProblemResponsesProps {
  readonly api: IRestApi;
  readonly region: string;
}

interface Answer {
  readonly type: ResponseType;
  readonly code: ProblemCode;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const RETRY = 'Nothing was processed; try again.';
const ANSWERS: Readonly<Record<string, Answer>> = {
  Unauthorized: {
    type: ResponseType.UNAUTHORIZED,
    code: 'unauthorized',
    detail:
      'Expected `Authorization: Bearer <token>` with a token of the configured issuer that has not expired.',
    headers: { 'www-authenticate': 'Bearer' },
  },
  AccessDenied: {
    type: ResponseType.ACCESS_DENIED,
    code: 'forbidden',
    detail: "The token's tenant and scopes do not allow this method on this path.",
  },
  // What API Gateway calls a missing token is a path or a method that it does not have.
  MissingAuthenticationToken: {
    type: ResponseType.MISSING_AUTHENTICATION_TOKEN,
    code: 'not_found',
    detail: 'There is no such path, or it does not take that method.',
  },
  NotFound: { type: ResponseType.RESOURCE_NOT_FOUND, code: 'not_found', detail: 'There is no such path.' },
  ExpiredToken: { type: ResponseType.EXPIRED_TOKEN, code: 'forbidden', detail: 'The token has expired.' },
  InvalidSignature: {
    type: ResponseType.INVALID_SIGNATURE,
    code: 'forbidden',
    detail: 'The signature of the request is not valid.',
  },
  WafFiltered: { type: ResponseType.WAF_FILTERED, code: 'forbidden', detail: 'The request was filtered.' },
  BadBody: {
    type: ResponseType.BAD_REQUEST_BODY,
    code: 'invalid_request',
    detail: 'The body could not be read.',
  },
  BadParameters: {
    type: ResponseType.BAD_REQUEST_PARAMETERS,
    code: 'invalid_request',
    detail: 'A parameter could not be read.',
  },
  TooLarge: {
    type: ResponseType.REQUEST_TOO_LARGE,
    code: 'too_large',
    detail: 'The request is larger than the service reads at all.',
  },
  UnsupportedMediaType: {
    type: ResponseType.UNSUPPORTED_MEDIA_TYPE,
    code: 'unsupported_media_type',
    detail: 'The content type is not supported.',
  },
  Throttled: {
    type: ResponseType.THROTTLED,
    code: 'too_many_requests',
    detail: RETRY,
    headers: { 'retry-after': '1' },
  },
  QuotaExceeded: {
    type: ResponseType.QUOTA_EXCEEDED,
    code: 'too_many_requests',
    detail: 'The quota is used up.',
    headers: { 'retry-after': '1' },
  },
  AuthorizerFailure: { type: ResponseType.AUTHORIZER_FAILURE, code: 'internal', detail: RETRY },
  AuthorizerConfiguration: {
    type: ResponseType.AUTHORIZER_CONFIGURATION_ERROR,
    code: 'internal',
    detail: RETRY,
  },
  ApiConfiguration: { type: ResponseType.API_CONFIGURATION_ERROR, code: 'internal', detail: RETRY },
  IntegrationFailure: {
    type: ResponseType.INTEGRATION_FAILURE,
    code: 'bad_gateway',
    detail: 'The function did not answer; send the request again with the same idempotency key.',
  },
  IntegrationTimeout: {
    type: ResponseType.INTEGRATION_TIMEOUT,
    code: 'timeout',
    detail: 'The function did not answer in time; send the request again with the same idempotency key.',
  },
  // Whatever is left, a crashed function among them.
  Default4xx: {
    type: ResponseType.DEFAULT_4XX,
    code: 'invalid_request',
    detail: 'The request was not accepted.',
  },
  Default5xx: {
    type: ResponseType.DEFAULT_5XX,
    code: 'bad_gateway',
    detail: 'The service failed; send the request again with the same idempotency key.',
  },
};

export class ProblemResponses extends Construct {
  constructor(scope: Construct, id: string, props: ProblemResponsesProps) {
    super(scope, id);
    const { api, region } = props;
    for (const [name, { type, code, detail, headers = {} }] of Object.entries(ANSWERS))
      new GatewayResponse(this, name, { restApi: api, ...render(type, code, detail, region, headers) });
  }
}

function render(
  type: ResponseType,
  code: ProblemCode,
  detail: string,
  region: string,
  headers: Readonly<Record<string, string>>,
): Omit<GatewayResponseProps, 'restApi'> {
  const body = problem(code, detail);
  const all = { 'content-type': PROBLEM_CONTENT_TYPE, [HEADERS.region]: region, ...headers };
  return {
    type,
    statusCode: String(body.status),
    // A static value stands in single quotes.
    responseHeaders: Object.fromEntries(Object.entries(all).map(([name, value]) => [name, `'${value}'`])),
    templates: { 'application/json': JSON.stringify(body) },
  };
}
