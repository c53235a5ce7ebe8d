// What a PUT carries, as S3 takes it: unwrapped from `aws-chunked` with its trailers, and compared with every checksum
// that came along, so that nothing is stored that its sender did not mean.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
//
// Where it differs from S3: the signatures of single chunks are not checked, the request's is.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { SignedRequest } from '../signature.ts';
import { s3Error } from './errors.ts';

export interface Payload {
  readonly content: Buffer;
  /** By header name, e.g. `x-amz-checksum-crc32`; checked. */
  readonly checksums: Readonly<Record<string, string>>;
  /** Whether it came with anything at all to compare it with. */
  readonly checked: boolean;
}

type Digest = (content: Buffer) => Buffer;
const hash =
  (algorithm: string): Digest =>
  (content) =>
    createHash(algorithm).update(content).digest();
const CHECKSUMS: Readonly<Record<string, Digest>> = {
  'x-amz-checksum-crc32': (content) => {
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(content));
    return sum;
  },
  'x-amz-checksum-sha1': hash('sha1'),
  'x-amz-checksum-sha256': hash('sha256'),
};
const SHA256_HEX = /^[0-9a-f]{64}$/;

/** @throws ServiceError it is not what its headers say, or says it in a way that is not played */
export function readPayload({ headers, body }: Pick<SignedRequest, 'headers' | 'body'>): Payload {
  const header = (name: string) => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  const said = header('x-amz-content-sha256') ?? '';
  const isChunked = said.startsWith('STREAMING-');
  const { content, trailers } = isChunked ? unwrapped(body) : { content: body, trailers: {} };
  if (SHA256_HEX.test(said) && hash('sha256')(body).toString('hex') !== said)
    throw s3Error(
      400,
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
  const length = header('x-amz-decoded-content-length');
  if (isChunked && length !== undefined && Number(length) !== content.length)
    throw s3Error(
      400,
      'IncompleteBody',
      'You did not provide the number of bytes specified by the Content-Length HTTP header',
    );
  const checksums: Record<string, string> = {};
  for (const [name, value] of [...Object.entries(headers), ...Object.entries(trailers)])
    if (name.startsWith('x-amz-checksum-') && typeof value === 'string')
      checksums[name] = checked(name, value, content);
  const md5 = header('content-md5');
  if (md5 !== undefined && hash('md5')(content).toString('base64') !== md5)
    throw s3Error(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.');
  return { content, checksums, checked: md5 !== undefined || Object.keys(checksums).length > 0 };
}

function checked(name: string, value: string, content: Buffer): string {
  const digest = CHECKSUMS[name];
  if (!digest)
    throw s3Error(
      501,
      'NotImplemented',
      `The rehearsal checks ${Object.keys(CHECKSUMS).join(', ')}, got ${name}`,
    );
  if (digest(content).toString('base64') === value) return value;
  const algorithm = name.slice('x-amz-checksum-'.length).toUpperCase();
  throw s3Error(400, 'BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html */
function unwrapped(body: Buffer): { content: Buffer; trailers: Readonly<Record<string, string>> } {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const end = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.toString('latin1', at, end < 0 ? at : end), 16);
    if (end < 0 || Number.isNaN(size) || end + 2 + size > body.length)
      throw s3Error(400, 'IncompleteBody', 'The request body terminated unexpectedly');
    at = end + 2;
    if (size === 0) break;
    chunks.push(body.subarray(at, at + size));
    at += size + 2;
  }
  const trailers = Object.fromEntries(
    body
      .toString('latin1', at)
      .split('\r\n')
      .flatMap((line) => {
        const colon = line.indexOf(':');
        return colon < 0 ? [] : [[line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]];
      }),
  );
  return { content: Buffer.concat(chunks), trailers };
}
