// Calls to the table's own API: plain signed HTTP with the operator's key, as any SDK would send it.
import { Agent } from 'node:http';
import { signed } from '../aws/signature.ts';
import { askPlainly } from './plain-http.ts';
import { DrillError, type TableAccess } from './system.ts';

const TIMEOUT_MS = 30_000;

/** On connections that end with it. */
export class TableCalls {
  readonly #access: TableAccess;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(access: TableAccess) {
    this.#access = access;
  }

  async call<Output>(target: string, input: object): Promise<Output> {
    const { endpoint, region, credentials } = this.#access;
    const body = Buffer.from(JSON.stringify(input));
    const headers = signed(
      credentials,
      { region, service: 'dynamodb', now: Date.now() },
      {
        method: 'POST',
        url: '/',
        body,
        headers: {
          host: new URL(endpoint).host,
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': target,
        },
      },
    );
    const options = { agent: this.#agent, timeoutMs: TIMEOUT_MS, headers, body };
    const answer = await askPlainly('POST', endpoint, options);
    if (answer.status !== 200)
      throw new DrillError(`${target} answered ${answer.status}: ${answer.body.slice(0, 300)}`);
    return JSON.parse(answer.body) as Output;
  }

  close(): void {
    this.#agent.destroy();
  }
}
