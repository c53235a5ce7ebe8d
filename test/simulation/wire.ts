// A device's way to the service: the shipped wire over simulated requests. What goes out and comes in is noted on the
// way, since nobody else sees what a device was told.

import type { Answer } from '../../client/operation.ts';
import type { ServiceRequest } from '../../client/requests.ts';
import type { PullAnswer, PullCall, PushAnswer, PushCall, Wire } from '../../client/sync/contract.ts';
import { HttpWire } from '../../client/sync/http-wire.ts';
import type { ProxyEvent } from '../../lambdas/http.ts';
import { PATHS } from '../../protocol/messages.ts';
import type { HttpResult } from './network.ts';

export interface WireParts {
  readonly tenant: string;
  /** Rejects when no answer comes, or soon after the signal fires. */
  readonly request: (event: ProxyEvent, signal: AbortSignal) => Promise<HttpResult>;
  readonly onPush: (call: PushCall) => void;
  readonly onPushed: (answer: PushAnswer) => void;
  readonly onPulled: (answer: PullAnswer) => void;
}

export class SimulatedWire implements Wire {
  readonly #parts: WireParts;
  readonly #http: HttpWire;

  constructor(parts: WireParts) {
    this.#parts = parts;
    this.#http = new HttpWire({ request: (asked) => this.#request(asked) }, () => {});
  }

  async push(call: PushCall): Promise<PushAnswer> {
    this.#parts.onPush(call);
    const answer = await this.#http.push(call);
    this.#parts.onPushed(answer);
    return answer;
  }

  async pull(call: PullCall): Promise<PullAnswer> {
    const answer = await this.#http.pull(call);
    this.#parts.onPulled(answer);
    return answer;
  }

  async #request({
    method,
    path,
    headers,
    body,
    signal = new AbortController().signal,
  }: ServiceRequest): Promise<Answer> {
    const [resource = '', query] = path.split('?');
    const event = eventOf(this.#parts.tenant, method, resource, {
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(query !== undefined && { queryStringParameters: Object.fromEntries(new URLSearchParams(query)) }),
      ...(body !== undefined && { body: String(body) }),
    });
    const result = await this.#parts.request(event, signal);
    return { ...result, body: Buffer.from(result.body), endpoint: 'simulated', attempts: [] };
  }
}

/** A read of one record, as a user without a queue sends it. */
export function readEvent(tenant: string, collection: string, id: string): ProxyEvent {
  return eventOf(tenant, 'GET', PATHS.record, { pathParameters: { collection, id } });
}

function eventOf(
  tenant: string,
  httpMethod: string,
  resource: string,
  rest: Partial<ProxyEvent>,
): ProxyEvent {
  return { resource, httpMethod, headers: {}, requestContext: { authorizer: { tenant } }, ...rest };
}
