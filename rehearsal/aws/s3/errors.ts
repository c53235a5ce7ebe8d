// S3's errors: XML with a code that SDKs turn into a class. Those that all services share have names of their own here.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
import type { Answer } from '../aws-front.ts';
import { ServiceError } from '../service-error.ts';
import { escaped } from './xml.ts';

/** How S3 words what other services call differently, with its status. */
const OWN: Readonly<Record<string, readonly [status: number, code: string]>> = {
  AccessDeniedException: [403, 'AccessDenied'],
  InternalFailure: [500, 'InternalError'],
  InvalidSignatureException: [403, 'SignatureDoesNotMatch'],
  UnrecognizedClientException: [403, 'InvalidAccessKeyId'],
};

/** @param headers of the answer */
export function s3Error(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ServiceError {
  return new ServiceError(status, { __type: code, message, headers });
}

export function refuse(error: ServiceError): Answer {
  const [status, code] = OWN[error.name] ?? [error.status, error.name];
  const headers = error.body['headers'];
  return {
    status,
    contentType: 'application/xml',
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${escaped(error.message)}</Message></Error>`,
    ...(isTexts(headers) && { headers }),
  };
}

function isTexts(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null;
}
