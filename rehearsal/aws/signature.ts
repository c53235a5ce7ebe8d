// Signature Version 4: who signed a request, for which region and service, and whether with the right secret; and a
// signature of our own, for services that call others.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** What the Authorization header claims. */
export interface SignatureClaim {
  readonly accessKeyId: string;
  /** YYYYMMDD. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  /** Hex. */
  readonly signature: string;
}

export interface SignedRequest {
  readonly method: string;
  /** Path and query, as on the request line. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const HEADER =
  /^AWS4-HMAC-SHA256 +Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/([^/,\s]+)\/aws4_request, *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})$/;

/** Undefined when the header is no Signature Version 4. */
export function readClaim(authorization: string): SignatureClaim | undefined {
  const match = HEADER.exec(authorization.trim());
  if (!match) return undefined;
  const [, accessKeyId = '', date = '', region = '', service = '', names = '', signature = ''] = match;
  return { accessKeyId, date, region, service, signedHeaders: names.split(';'), signature };
}

/** Whether the claim was signed with this secret, over this very request. */
export function isSignedWith(secret: string, claim: SignatureClaim, request: SignedRequest): boolean {
  return timingSafeEqual(signatureOf(secret, claim, request), Buffer.from(claim.signature, 'hex'));
}

/** The request's headers with its signature, over all of them, as of `now` (Unix ms). */
export function signed(
  { accessKeyId, secretAccessKey }: { readonly accessKeyId: string; readonly secretAccessKey: string },
  { region, service, now }: { readonly region: string; readonly service: string; readonly now: number },
  request: Omit<SignedRequest, 'headers'> & { readonly headers: Readonly<Record<string, string>> },
): Record<string, string> {
  const time = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const headers: Record<string, string> = { ...request.headers, 'x-amz-date': time };
  const signedHeaders = Object.keys(headers).sort();
  const claim = { date: time.slice(0, 8), region, service, signedHeaders };
  const signature = signatureOf(secretAccessKey, claim, { ...request, headers }).toString('hex');
  const scope = `${claim.date}/${region}/${service}/aws4_request`;
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`;
  return headers;
}

type Scope = Pick<SignatureClaim, 'date' | 'region' | 'service' | 'signedHeaders'>;

function signatureOf(secret: string, claim: Scope, request: SignedRequest): Buffer {
  const scope = `${claim.date}/${claim.region}/${claim.service}/aws4_request`;
  const time = String(request.headers['x-amz-date'] ?? request.headers['date'] ?? '');
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonicalRequest(claim, request))].join('\n');
  return createHmac('sha256', signingKey(secret, claim)).update(toSign).digest();
}

function canonicalRequest(
  { signedHeaders, service }: Scope,
  { method, url, headers, body }: SignedRequest,
): string {
  const [path = '/', query = ''] = url.split('?');
  const lines = signedHeaders.map((name) => {
    const value = headers[name] ?? '';
    const values = Array.isArray(value) ? value : [value];
    return `${name}:${values.map((text) => text.trim().replaceAll(/ +/g, ' ')).join(',')}\n`;
  });
  // S3 signs what this header says, which may be that the content is not signed; whether it is true is checked there.
  const said = service === 's3' ? headers['x-amz-content-sha256'] : undefined;
  const payload = typeof said === 'string' ? said : sha256(body);
  return [method, path, canonicalQuery(query), lines.join(''), signedHeaders.join(';'), payload].join('\n');
}

function canonicalQuery(query: string): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  return [...new URLSearchParams(query)]
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map((pair) => pair.join('='))
    .join('&');
}

const keys = new Map<string, Buffer>();

/** Good for a day, a region and a service, so it is worth keeping. */
function signingKey(secret: string, { date, region, service }: Scope): Buffer {
  const name = [secret, date, region, service].join('/');
  const known = keys.get(name);
  if (known) return known;
  const key = [date, region, service, 'aws4_request'].reduce<Buffer>(
    (previous, part) => createHmac('sha256', previous).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  );
  keys.set(name, key);
  return key;
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
