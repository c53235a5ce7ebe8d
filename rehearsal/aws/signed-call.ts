// One call to the rehearsal's AWS in AWS JSON, signed: for services that call others on a role's behalf, as Lambda does
// when it reads a stream.
import type { Credentials } from './credentials.ts';
import { ServiceError } from './service-error.ts';
import { signed } from './signature.ts';

export interface SignedCallOptions {
  /** `http://127.0.0.1:<port>` */
  readonly endpoint: string;
  readonly credentials: Credentials;
  readonly region: string;
  /** Name in the credential scope, e.g. `dynamodb`. */
  readonly service: string;
  /** How long to wait for the answer. */
  readonly timeoutMs: number;
}

/**
 * @param target `x-amz-target`, e.g. `DynamoDBStreams_20120810.GetRecords`
 * @throws ServiceError what the service answered; anything else: it did not answer
 */
export async function signedCall(
  { endpoint, credentials, region, service, timeoutMs }: SignedCallOptions,
  target: string,
  input: object,
): Promise<Record<string, unknown>> {
  const body = Buffer.from(JSON.stringify(input));
  const { host } = new URL(endpoint);
  const headers = signed(
    credentials,
    { region, service, now: Date.now() },
    {
      method: 'POST',
      url: '/',
      headers: { host, 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': target },
      body,
    },
  );
  // Fetch sets it itself, to the same.
  const { host: _, ...rest } = headers;
  const signal = AbortSignal.timeout(timeoutMs);
  const response = await fetch(endpoint, { method: 'POST', headers: rest, body, signal });
  const answer = (await response.json()) as Record<string, unknown>;
  if (response.ok) return answer;
  throw new ServiceError(response.status, { ...answer, __type: String(answer['__type']) });
}
