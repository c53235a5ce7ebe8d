// The inside of an execution environment: loads a function's handler as Lambda's Node.js runtime does, then answers
// invocations. Runs in a worker thread whose process.env is the function's and nothing else.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { setClockAhead } from '../ahead.ts';

export interface WorkerData {
  readonly taskRoot: string;
  /** `<file>.<export>`, as the template's Handler. */
  readonly handler: string;
  readonly functionName: string;
  readonly memoryMb: number;
  readonly logGroupName: string;
  readonly logStreamName: string;
  /** Of the region's clock: a function's environment has nothing of it. */
  readonly clockAheadMs: number;
}

export interface Invoke {
  readonly id: number;
  readonly payload: string;
  readonly requestId: string;
  readonly functionArn: string;
  readonly functionVersion: string;
  /** Unix ms. */
  readonly deadlineMs: number;
}

/** As Lambda hands errors to whoever invoked the function. */
export interface FunctionError {
  readonly errorType: string;
  readonly errorMessage: string;
  readonly trace?: readonly string[];
}

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'broken'; readonly error: FunctionError }
  | { readonly type: 'answer'; readonly id: number; readonly payload: string }
  | { readonly type: 'failure'; readonly id: number; readonly error: FunctionError };

type Handler = (event: unknown, context: object) => unknown;

/** In the order the runtime tries them:
 * https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html, aws-lambda-nodejs-runtime-interface-client. */
const EXTENSIONS = ['', '.js', '.mjs', '.cjs'];

function failure(errorType: string, errorMessage: string): never {
  throw Object.assign(new Error(errorMessage), { name: errorType });
}

async function loadHandler({ taskRoot, handler }: WorkerData): Promise<Handler> {
  const [, file, name] = /^((?:.*\/)?[^./]+)\.(.+)$/.exec(handler) ?? [];
  if (file === undefined || name === undefined)
    return failure('Runtime.MalformedHandlerName', `Bad handler: expected <file>.<export>, got ${handler}`);
  const path = EXTENSIONS.map((extension) => resolve(taskRoot, file + extension)).find(existsSync);
  if (path === undefined)
    return failure('Runtime.ImportModuleError', `Error: Cannot find module '${file}' in ${taskRoot}`);
  let found: unknown = await import(pathToFileURL(path).href);
  // A CommonJS file's exports stand under `default` too, and only there when Node could not foresee their names.
  const whole = found as { default?: unknown };
  for (const part of name.split('.')) {
    const members = found as Record<string, unknown> | undefined;
    found = members?.[part] ?? (members === whole ? (whole.default as typeof members)?.[part] : undefined);
  }
  if (typeof found !== 'function')
    return failure('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  return found as Handler;
}

function errorOf(thrown: unknown): FunctionError {
  if (!(thrown instanceof Error))
    return { errorType: typeof thrown, errorMessage: String(thrown), trace: [] };
  return {
    errorType: thrown.name,
    errorMessage: thrown.message,
    trace: thrown.stack?.split('\n') ?? [],
  };
}

async function answer(handler: Handler, invoke: Invoke, data: WorkerData): Promise<FromWorker> {
  const { id, payload, requestId, functionArn, functionVersion, deadlineMs } = invoke;
  try {
    const result = await handler(JSON.parse(payload), {
      callbackWaitsForEmptyEventLoop: true,
      functionName: data.functionName,
      functionVersion,
      invokedFunctionArn: functionArn,
      memoryLimitInMB: String(data.memoryMb),
      awsRequestId: requestId,
      logGroupName: data.logGroupName,
      logStreamName: data.logStreamName,
      getRemainingTimeInMillis: () => Math.max(0, deadlineMs - Date.now()),
    });
    // What is no JSON, such as undefined, is null to the caller.
    return { type: 'answer', id, payload: JSON.stringify(result) ?? 'null' };
  } catch (thrown) {
    return { type: 'failure', id, error: errorOf(thrown) };
  }
}

const port = parentPort;
if (!port)
  throw new Error(
    'lambda-worker.ts runs in a worker thread that rehearsal/region/lambda-environment.ts starts',
  );
const data: WorkerData = workerData;
setClockAhead(data.clockAheadMs);
const send = (message: FromWorker) => port.postMessage(message);
try {
  const handler = await loadHandler(data);
  port.on('message', async (invoke: Invoke) => send(await answer(handler, invoke, data)));
  send({ type: 'ready' });
} catch (thrown) {
  send({ type: 'broken', error: errorOf(thrown) });
}
