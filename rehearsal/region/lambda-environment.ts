// One execution environment of a function: a worker thread with the function's own process.env and memory limit.
//
// Where it differs from Lambda: Lambda runs one invocation at a time in an environment and starts as many as it needs;
// here one environment stands for all of a function's, so concurrent invocations share a thread, its memory limit and
// its fate. What ends an environment (an uncaught error, an exit, too much memory) therefore fails all that are in it.
// After a timeout it takes no new invocations, lets the others end, and is gone; Lambda ends it at once.
import { Worker } from 'node:worker_threads';
import { clockAheadMs } from '../ahead.ts';
import type { FromWorker, FunctionError, Invoke, WorkerData } from './lambda-worker.ts';

export interface EnvironmentSpec extends Omit<WorkerData, 'clockAheadMs'> {
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Each line of the function's stdout and stderr. */
  readonly onLine: (line: string) => void;
}

export type Outcome = { readonly payload: string } | { readonly error: FunctionError };

/** Lambda ends an initialisation that takes longer:
 * https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html */
const INIT_MS_MAX = 10_000;
/** A longer line is cut: CloudWatch Logs takes no event over 1 MB. */
const LINE_CHARS_MAX = 1024 * 1024;

interface Waiting {
  readonly settle: (outcome: Outcome) => void;
  readonly requestId: string;
}

export class Environment {
  /** Resolves once the handler is loaded, with the time that took; rejects with a FunctionError as `cause`. */
  readonly ready: Promise<number>;
  /** Takes no new invocations. */
  retired = false;
  readonly #spec: EnvironmentSpec;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #ended: FunctionError | undefined;
  #nextId = 0;

  constructor(spec: EnvironmentSpec) {
    const { env, memoryMb, onLine, timeoutMs: _, ...data } = spec;
    this.#spec = spec;
    this.#worker = new Worker(new URL('./lambda-worker.ts', import.meta.url), {
      env,
      workerData: { ...data, memoryMb, clockAheadMs: clockAheadMs() } satisfies WorkerData,
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
      name: spec.functionName,
      stdout: true,
      stderr: true,
    });
    for (const stream of [this.#worker.stdout, this.#worker.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', linesTo(onLine));
    }
    this.ready = this.#initialise();
    // Whoever invokes hears of it; an environment warmed ahead of time must not bring the process down.
    this.ready.catch(() => {});
  }

  /** Runs one invocation; its time counts from when the environment is ready. Never rejects. */
  async invoke(invocation: Omit<Invoke, 'id' | 'deadlineMs'>): Promise<Outcome> {
    try {
      await this.ready;
    } catch (failed) {
      return { error: (failed as Error).cause as FunctionError };
    }
    const { requestId } = invocation;
    if (this.#ended) return { error: withRequestId(this.#ended, requestId) };
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#waiting.set(id, { settle: resolve, requestId });
    const { timeoutMs } = this.#spec;
    const timer = setTimeout(() => this.#timeOut(id), timeoutMs);
    this.#worker.postMessage({ ...invocation, id, deadlineMs: Date.now() + timeoutMs } satisfies Invoke);
    const outcome = await promise;
    clearTimeout(timer);
    return outcome;
  }

  async close(): Promise<void> {
    this.retired = true;
    await this.#worker.terminate();
  }

  async #initialise(): Promise<number> {
    const startedAt = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (error: FunctionError) => {
      this.#end(error);
      reject(new Error(`${this.#spec.functionName}: ${error.errorMessage}`, { cause: error }));
    };
    this.#worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') resolve();
      else if (message.type === 'broken') fail(message.error);
      else this.#settle(message.id, 'error' in message ? { error: message.error } : message);
    });
    this.#worker.on('error', (error) => fail(exitErrorOf(error)));
    this.#worker.on('exit', (code) =>
      fail({
        errorType: 'Runtime.ExitError',
        errorMessage: `Error: Runtime exited ${code === 0 ? 'without providing a reason' : `with error: exit status ${code}`}`,
      }),
    );
    const timer = setTimeout(
      () =>
        fail({
          errorType: 'Sandbox.Timedout',
          errorMessage: `Error: Initialisation took longer than ${INIT_MS_MAX / 1_000} seconds`,
        }),
      INIT_MS_MAX,
    );
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
    return performance.now() - startedAt;
  }

  #settle(id: number, outcome: Outcome): void {
    this.#waiting.get(id)?.settle(outcome);
    this.#waiting.delete(id);
    if (this.retired && this.#waiting.size === 0) void this.#worker.terminate();
  }

  #timeOut(id: number): void {
    const requestId = this.#waiting.get(id)?.requestId;
    this.retired = true;
    this.#settle(id, {
      error: {
        errorType: 'Sandbox.Timedout',
        errorMessage: `RequestId: ${requestId} Error: Task timed out after ${(this.#spec.timeoutMs / 1_000).toFixed(2)} seconds`,
      },
    });
  }

  /** The environment is gone, and everything in it. */
  #end(error: FunctionError): void {
    this.retired = true;
    this.#ended ??= error;
    for (const { settle, requestId } of this.#waiting.values())
      settle({ error: withRequestId(error, requestId) });
    this.#waiting.clear();
    void this.#worker.terminate();
  }
}

function withRequestId(error: FunctionError, requestId: string): FunctionError {
  return error.errorType === 'Runtime.ExitError'
    ? { ...error, errorMessage: `RequestId: ${requestId} ${error.errorMessage}` }
    : error;
}

function exitErrorOf(thrown: unknown): FunctionError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if ('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY')
    return {
      errorType: 'Runtime.ExitError',
      errorMessage: 'Error: Runtime exited with error: signal: killed',
    };
  return { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') ?? [] };
}

/** Cuts a stream's chunks into lines. */
function linesTo(onLine: (line: string) => void): (chunk: string) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX);
    for (const line of lines) if (line !== '') onLine(line);
  };
}
