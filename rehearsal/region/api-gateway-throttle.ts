// Token buckets, one per method, as API Gateway throttles a stage:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
import type { MethodModel } from './api-gateway-model.ts';

interface Bucket {
  tokens: number;
  /** When `tokens` was right, in milliseconds of a steady clock. */
  at: number;
}

export class Throttles {
  readonly #buckets = new Map<MethodModel, Bucket>();

  /** Takes a token; false when there is none. `now` in milliseconds of a steady clock. */
  admit(method: MethodModel, now: number): boolean {
    const { throttle } = method;
    if (!throttle) return true;
    const { rate, burst } = throttle;
    const bucket = this.#buckets.get(method) ?? { tokens: burst, at: now };
    this.#buckets.set(method, bucket);
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1_000) * rate);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
