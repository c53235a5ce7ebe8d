// The authorizer: who calls, for which tenant, and what that allows (API Gateway, type REQUEST, cached by token for
// 300 s: a token is good for that long after it expires).
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { METRICS } from '../../protocol/metrics.ts';
import { policyOf } from '../core/policies.ts';
import { type Caller, type KeySet, verifyToken } from '../core/tokens.ts';
import type { TokenSettings } from '../env.ts';
import type { Telemetry } from '../telemetry.ts';

export interface AuthorizerOptions {
  readonly settings: TokenSettings;
  readonly keys: Promise<KeySet>;
  readonly telemetry: Telemetry;
  /** Unix ms. */
  readonly now: () => number;
}

/** API Gateway answers 401 to exactly this message, and 500 to any other. */
const UNAUTHORIZED = 'Unauthorized';

/** Rejects with `Unauthorized` for a missing or bad token; denies what the token does not allow. */
export function createAuthorizer({ settings, keys, telemetry, now }: AuthorizerOptions) {
  return async (
    event: Pick<APIGatewayRequestAuthorizerEvent, 'headers' | 'methodArn'>,
  ): Promise<APIGatewayAuthorizerResult> => {
    const startedAt = now();
    const measure = (errors: 0 | 1) =>
      telemetry.measure([
        { name: METRICS.requests, value: 1 },
        { name: METRICS.errors, value: errors },
        { name: METRICS.latency, value: now() - startedAt, unit: 'Milliseconds' },
      ]);
    // A key set that cannot be used is our failure, not the caller's.
    const pinned = await keys.catch((error: unknown) => {
      measure(1);
      throw error;
    });
    const caller = await callerOf(event.headers, pinned).finally(() => measure(0));
    const { Version, Statement } = policyOf(caller, event.methodArn);
    return {
      principalId: caller.subject,
      policyDocument: { Version, Statement: [...Statement] },
      context: {
        ...(caller.tenant !== undefined && { tenant: caller.tenant }),
        subject: caller.subject,
        scopes: caller.scopes.join(' '),
      },
    };
  };

  async function callerOf(
    headers: APIGatewayRequestAuthorizerEvent['headers'],
    pinned: KeySet,
  ): Promise<Caller> {
    const [, header] = Object.entries(headers ?? {}).find(([name]) => /^authorization$/i.test(name)) ?? [];
    const [, token] = /^Bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(header?.trim() ?? '') ?? [];
    if (token === undefined) throw new Error(UNAUTHORIZED);
    try {
      return await verifyToken(token, pinned, { ...settings, nowMs: now() });
    } catch (cause) {
      telemetry.warn('a token was refused', { why: cause instanceof Error ? cause.message : String(cause) });
      throw new Error(UNAUTHORIZED, { cause });
    }
  }
}
