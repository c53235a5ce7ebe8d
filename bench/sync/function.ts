// The push function as it is deployed: the assembly's bundle in a process of its own, as Lambda runs it, called with
// API Gateway's events. The clock runs from the first event handed over to the last verdict read.
import { pathToFileURL } from 'node:url';
import { HEADERS, PATHS, type PushResponse } from '../../protocol/messages.ts';
import { readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { substitute } from '../../rehearsal/assembly/substitutions.ts';
import { functionsOf, type LambdaFunction } from '../../rehearsal/region/lambda-functions.ts';
import { serveParent } from '../processes.ts';
import { operationsOf, TENANT } from './operations.ts';

export interface FunctionOptions {
  readonly assemblyDir: string;
  readonly region: string;
  readonly awsEndpoint: string;
  readonly restoreEpoch: number;
}

export interface Load {
  readonly session: string;
  readonly operations: number;
  /** Operations in an event. */
  readonly batch: number;
  /** Events at once. */
  readonly batchesAtOnce: number;
}

export interface WriterAnswers {
  /** Milliseconds it took. */
  readonly write: number;
}

type Handler = (
  event: object,
  context: object,
) => Promise<{ readonly statusCode: number; readonly body: string }>;

serveParent<WriterAnswers, FunctionOptions>(async ({ assemblyDir, region, awsEndpoint, restoreEpoch }) => {
  const functions = functionsOf(readDeployment(assemblyDir), region);
  const push = [...functions.values()].find(({ name }) => name.endsWith('-push'));
  if (push === undefined) throw new Error(`there is no push function in ${region}`);
  const context = { awsEndpoint, roleArn: push.roleArn, region, jwtKeySet: '{"keys":[]}', probes: {} };
  Object.assign(process.env, substitute(push.environment, context));
  const handler = await handlerOf(push);
  // Its log and metrics are lines on standard output: written, but not on the terminal of whoever measures.
  return {
    async write({ session, operations: count, batch, batchesAtOnce }: Load) {
      const operations = operationsOf(session, count, Date.now());
      const events: object[] = [];
      for (let at = 0; at < count; at += batch)
        events.push(eventOf(JSON.stringify({ operations: operations.slice(at, at + batch) }), restoreEpoch));
      const started = performance.now();
      let next = 0;
      const worker = async () => {
        for (let event = events[next++]; event !== undefined; event = events[next++])
          expectApplied(await handler(event, { getRemainingTimeInMillis: () => push.timeoutMs }));
      };
      await Promise.all(Array.from({ length: batchesAtOnce }, worker));
      return performance.now() - started;
    },
  };
});

async function handlerOf({ handler, taskRoot }: LambdaFunction): Promise<Handler> {
  const [file = '', name = ''] = handler.split('.');
  const module: Record<string, Handler> = await import(pathToFileURL(`${taskRoot()}/${file}.mjs`).href);
  const found = module[name];
  if (found === undefined) throw new Error(`the bundle has no ${handler}`);
  return found;
}

function eventOf(body: string, restoreEpoch: number): object {
  return {
    resource: PATHS.push,
    httpMethod: 'POST',
    headers: { 'content-type': 'application/json', [HEADERS.restoreEpoch]: String(restoreEpoch) },
    requestContext: { requestId: 'bench', authorizer: { tenant: TENANT } },
    body,
  };
}

function expectApplied({ statusCode, body }: Awaited<ReturnType<Handler>>): void {
  if (statusCode !== 200) throw new Error(`push answered ${statusCode}: ${body}`);
  const { verdicts } = JSON.parse(body) as PushResponse;
  const other = verdicts.find(({ verdict }) => verdict !== 'applied');
  if (other !== undefined) throw new Error(`expected all to be applied, got ${JSON.stringify(other)}`);
}
