// Signature Version 4, checked: who signed a request, for which region and service, and whether with the right secret.
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
  readonly body: Uint8Array;
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
  const scope = `${claim.date}/${claim.region}/${claim.service}/aws4_request`;
  const time = String(request.headers['x-amz-date'] ?? request.headers['date'] ?? '');
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonicalRequest(claim, request))].join('\n');
  const expected = createHmac('sha256', signingKey(secret, claim)).update(toSign).digest();
  return timingSafeEqual(expected, Buffer.from(claim.signature, 'hex'));
}

function canonicalRequest(
  { signedHeaders }: SignatureClaim,
  { method, url, headers, body }: SignedRequest,
): string {
  const [path = '/', query = ''] = url.split('?');
  const lines = signedHeaders.map((name) => {
    const value = headers[name] ?? '';
    const values = Array.isArray(value) ? value : [value];
    return `${name}:${values.map((text) => text.trim().replaceAll(/ +/g, ' ')).join(',')}\n`;
  });
  return [method, path, canonicalQuery(query), lines.join(''), signedHeaders.join(';'), sha256(body)].join(
    '\n',
  );
}

function canonicalQuery(query: string): string {
  const encode = (text: string) =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  return [...new URLSearchParams(query)]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
}

const keys = new Map<string, Buffer>();

/** Good for a day, a region and a service, so it is worth keeping. */
function signingKey(secret: string, { date, region, service }: SignatureClaim): Buffer {
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
