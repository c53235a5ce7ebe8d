// One plain HTTP request, as a client without our library would make it: no second try, no second place. Its connections
// belong to the agent that is given, and end with it.
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface PlainOptions {
  readonly agent: Agent;
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Rejects on any error and when it takes longer than `timeoutMs`. */
export function getPlainly(url: string, options: PlainOptions): Promise<PlainAnswer> {
  return askPlainly('GET', url, options);
}

/** {@link getPlainly} with another method, and a body. */
export function askPlainly(
  method: 'GET' | 'POST' | 'PUT',
  url: string,
  { agent, timeoutMs, headers = {}, body }: PlainOptions & { readonly body?: Buffer },
): Promise<PlainAnswer> {
  return new Promise((resolve, reject) => {
    const attempt = request(url, { method, agent, headers });
    const timer = setTimeout(() => attempt.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    const failed = (error: Error) => {
      clearTimeout(timer);
      reject(error);
    };
    attempt.on('error', failed);
    attempt.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', failed);
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
      });
    });
    attempt.end(body);
  });
}
