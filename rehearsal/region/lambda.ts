// Lambda in one region: who asks for which function, whether they may, whether there is room, and an environment to
// run it in (lambda-environment.ts), started when first needed or, with provisioned concurrency, ahead of time.
import { randomUUID } from 'node:crypto';
import type { Deployment } from '../assembly/assembly.ts';
import { ServiceError } from '../aws/service-error.ts';
import type { MetricPoint } from '../supervisor/messages.ts';
import { metricPointsOf } from './emf.ts';
import { Environment } from './lambda-environment.ts';
import {
  type AsyncPolicy,
  functionNameOf,
  functionsOf,
  type LambdaFunction,
  qualifierOf,
} from './lambda-functions.ts';
import type { FunctionError } from './lambda-worker.ts';

/** Who has to be allowed to invoke: a service, on behalf of one of its resources, or a role. */
export type Invoker = { readonly service: string; readonly sourceArn: string } | { readonly roleArn: string };

/** Lambda itself, for an event source mapping: what may read the source is the function's own role. */
export type OwnInvoker = { readonly mappingArn: string };

/** Whether the function's own policy, or the role's, allows it. `functionArn` has the qualifier that was asked for. */
export type MayInvoke = (invoker: Invoker, functionArn: string) => boolean;

export interface InvokeRequest {
  /** With or without an alias or version. */
  readonly functionArn: string;
  readonly invoker: Invoker | OwnInvoker;
  /** JSON. */
  readonly payload: string;
}

export interface InvokeResult {
  /** JSON: what the handler returned, or the error. */
  readonly payload: string;
  /** Present when the function failed rather than answered. */
  readonly functionError?: FunctionError;
}

export interface LambdaOptions {
  readonly deployment: Deployment;
  readonly region: string;
  readonly mayInvoke: MayInvoke;
  /** The environment a function gets, made from the template's and the runtime's. */
  readonly environmentOf: (
    environment: Readonly<Record<string, string>>,
    roleArn: string,
  ) => Readonly<Record<string, string>>;
  readonly onLog: (line: string) => void;
  readonly onMetrics: (points: readonly MetricPoint[]) => void;
  /** Makes waiting between attempts shorter by this factor. @default 1 */
  readonly scale?: number;
}

/** https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const PAYLOAD_BYTES_MAX = 6 * 1024 * 1024;
/** Between the attempts of an asynchronous invocation; the last is repeated.
 * https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html */
const RETRY_DELAYS_MS = [60_000, 120_000];
/** After a throttled attempt, doubled each time up to the maximum. */
const THROTTLED_DELAY_MS = 1_000;
const THROTTLED_DELAY_MS_MAX = 300_000;

function lambdaError(status: number, name: string, message: string): ServiceError {
  return new ServiceError(status, { __type: name, message });
}

export class Lambda {
  readonly functions: ReadonlyMap<string, LambdaFunction>;
  readonly #options: LambdaOptions;
  readonly #environments = new Map<string, Environment>();
  readonly #running = new Map<string, number>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #failing: { readonly names: ReadonlySet<string>; readonly error: FunctionError } | undefined;
  #closed = false;

  constructor(options: LambdaOptions) {
    this.#options = options;
    this.functions = functionsOf(options.deployment, options.region);
  }

  /** Starts what has provisioned concurrency; resolves when all of it is warm, or known to be broken. */
  async warm(): Promise<void> {
    const provisioned = [...this.functions.values()].filter((it) => it.provisioned);
    await Promise.allSettled(provisioned.map((it) => this.#environment(it).ready));
  }

  /** From now on invocations of these functions, by name, end with `error` and run nothing; undefined ends that. */
  fail(failing: { readonly names: ReadonlySet<string>; readonly error: FunctionError } | undefined): void {
    this.#failing = failing;
  }

  /**
   * Runs a function and waits for its answer.
   * @throws ServiceError ResourceNotFoundException, AccessDeniedException, TooManyRequestsException or
   * RequestEntityTooLargeException; a function that fails is a result
   */
  async invoke(request: InvokeRequest): Promise<InvokeResult> {
    const { target, version } = this.#target(request);
    const running = this.#running.get(target.name) ?? 0;
    if (running >= (target.reservedConcurrency ?? Number.POSITIVE_INFINITY))
      throw lambdaError(429, 'TooManyRequestsException', 'Rate Exceeded.');
    this.#running.set(target.name, running + 1);
    try {
      return await this.#run(target, version, request);
    } finally {
      this.#running.set(target.name, (this.#running.get(target.name) ?? 1) - 1);
    }
  }

  /**
   * Accepts an event and returns; a failing function gets it again as its EventInvokeConfig says, then it is dropped.
   * @throws ServiceError ResourceNotFoundException or AccessDeniedException
   */
  invokeAsync(request: InvokeRequest): void {
    const { target } = this.#target(request);
    const policy = target.asyncPolicy(qualifierOf(request.functionArn));
    void this.#deliver(request, policy, Date.now() + policy.ageMsMax);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([...this.#environments.values()].map((environment) => environment.close()));
  }

  #target({ functionArn, invoker, payload }: InvokeRequest): { target: LambdaFunction; version: string } {
    const target = this.functions.get(functionNameOf(functionArn));
    const version = target?.qualifiers.get(qualifierOf(functionArn));
    if (!target || version === undefined)
      throw lambdaError(404, 'ResourceNotFoundException', `Function not found: ${functionArn}`);
    if (!('mappingArn' in invoker) && !this.#options.mayInvoke(invoker, functionArn))
      throw lambdaError(
        403,
        'AccessDeniedException',
        `${'roleArn' in invoker ? invoker.roleArn : `${invoker.service} for ${invoker.sourceArn}`} is not authorized to perform: lambda:InvokeFunction on resource: ${functionArn}`,
      );
    if (Buffer.byteLength(payload) > PAYLOAD_BYTES_MAX)
      throw lambdaError(413, 'RequestEntityTooLargeException', `Payload is over ${PAYLOAD_BYTES_MAX} bytes`);
    return { target, version };
  }

  async #run(target: LambdaFunction, version: string, request: InvokeRequest): Promise<InvokeResult> {
    if (this.#failing?.names.has(target.name)) return this.#failed(target, this.#failing.error);
    const requestId = randomUUID();
    const outcome = await this.#environment(target).invoke({
      functionArn: request.functionArn,
      functionVersion: version,
      payload: request.payload,
      requestId,
    });
    if ('error' in outcome) return this.#failed(target, outcome.error);
    const bytes = Buffer.byteLength(outcome.payload);
    if (bytes > PAYLOAD_BYTES_MAX)
      return this.#failed(target, {
        errorType: 'Function.ResponseSizeTooLarge',
        errorMessage: `Response payload size exceeded maximum allowed payload size (${PAYLOAD_BYTES_MAX} bytes), got ${bytes}`,
      });
    return { payload: outcome.payload };
  }

  #failed(target: LambdaFunction, error: FunctionError): InvokeResult {
    if (!this.#closed) this.#options.onLog(`${target.name}: ERROR Invoke Error ${JSON.stringify(error)}`);
    return { payload: JSON.stringify(error), functionError: error };
  }

  /** The function's environment; a new one where there is none or it takes no more. */
  #environment(target: LambdaFunction): Environment {
    const existing = this.#environments.get(target.name);
    if (existing && !existing.retired) return existing;
    const { onLog, onMetrics, environmentOf } = this.#options;
    const { name, handler, memoryMb, timeoutMs, logGroupName } = target;
    const logStreamName = `${new Date().toISOString().slice(0, 10).replaceAll('-', '/')}/[1]${randomUUID().replaceAll('-', '')}`;
    const taskRoot = target.taskRoot();
    const environment = new Environment({
      functionName: name,
      handler,
      taskRoot,
      memoryMb,
      timeoutMs,
      logGroupName,
      logStreamName,
      env: {
        ...environmentOf(target.environment, target.roleArn),
        AWS_LAMBDA_LOG_STREAM_NAME: logStreamName,
        LAMBDA_TASK_ROOT: taskRoot,
      },
      onLine(line) {
        const points = metricPointsOf(line);
        if (points) onMetrics(points);
        else onLog(`${name}: ${line}`);
      },
    });
    this.#environments.set(name, environment);
    environment.ready.then(
      (initMs) => onLog(`${name}: INIT ${initMs.toFixed(0)} ms`),
      (failed) => onLog(`${name}: INIT failed: ${failed instanceof Error ? failed.message : failed}`),
    );
    return environment;
  }

  async #deliver(request: InvokeRequest, { retriesMax }: AsyncPolicy, expiresAtMs: number): Promise<void> {
    let failures = 0;
    let throttledMs = THROTTLED_DELAY_MS;
    while (!this.#closed && Date.now() <= expiresAtMs) {
      let delayMs: number;
      try {
        const { functionError } = await this.invoke(request);
        if (!functionError || failures >= retriesMax) return;
        delayMs = RETRY_DELAYS_MS[failures] ?? (RETRY_DELAYS_MS.at(-1) as number);
        failures += 1;
      } catch (refused) {
        if (!(refused instanceof ServiceError && refused.status === 429)) {
          this.#options.onLog(`${functionNameOf(request.functionArn)}: event dropped: ${refused}`);
          return;
        }
        delayMs = throttledMs;
        throttledMs = Math.min(throttledMs * 2, THROTTLED_DELAY_MS_MAX);
      }
      await this.#wait(delayMs);
    }
  }

  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        resolve();
      },
      ms / (this.#options.scale ?? 1),
    );
    this.#timers.add(timer);
    return promise;
  }
}
