// One plain HTTP request, as a client without our library would make it: no second try, no second place.
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Rejects on any error and when it takes longer than `timeoutMs`. */
export function getPlainly(
  url: string,
  options: { agent: Agent; timeoutMs: number; headers?: Readonly<Record<string, string>> },
): Promise<PlainAnswer> {
  const { agent, timeoutMs, headers = {} } = options;
  return new Promise((resolve, reject) => {
    const attempt = request(url, { agent, headers });
    const timer = setTimeout(() => attempt.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    const failed = (error: Error) => {
      clearTimeout(timer);
      reject(error);
    };
    attempt.on('error', failed);
    attempt.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('error', failed);
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    });
    attempt.end();
  });
}
