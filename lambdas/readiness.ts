// The deep check behind `/ready` and before a release (DESIGN §4): can this function use what it depends on, right
// now? Its result is shared for 2 s and by whoever asks meanwhile, so that a flood of questions costs nothing.
import { GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { PATHS, type ReadyResponse } from '../protocol/messages.ts';
import { METRICS } from '../protocol/metrics.ts';
import { type HttpAnswer, READY_ROUTE, type Route, type Routes } from './http.ts';
import type { Service } from './service.ts';
import type { Telemetry } from './telemetry.ts';

/** Resolves when the dependency works, rejects with why not. */
export type Check = (signal: AbortSignal) => Promise<unknown>;

export interface ReadinessOptions {
  readonly region: string;
  /** By what the answer calls them. */
  readonly checks: Readonly<Record<string, Check>>;
  readonly telemetry: Telemetry;
  /** Unix ms. */
  readonly now: () => number;
  /** A check that takes longer has failed. @default 3000 */
  readonly checkMsMax?: number;
}

const SHARED_MS = 2_000;

export type Readiness = () => Promise<ReadyResponse>;

export function createReadiness({
  region,
  checks,
  telemetry,
  now,
  checkMsMax = 3_000,
}: ReadinessOptions): Readiness {
  let last: { readonly answer: ReadyResponse; readonly at: number } | undefined;
  let running: Promise<ReadyResponse> | undefined;

  async function run(): Promise<ReadyResponse> {
    const results = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await outcomeOf(name, check)] as const),
    );
    const ready = results.every(([, outcome]) => outcome === 'ok');
    const answer: ReadyResponse = {
      status: ready ? 'ready' : 'not_ready',
      region,
      dependencies: Object.fromEntries(results),
    };
    last = { answer, at: now() };
    return answer;
  }

  async function outcomeOf(name: string, check: Check): Promise<string> {
    const signal = AbortSignal.timeout(checkMsMax);
    const timeUp = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error(`no answer within ${checkMsMax} ms`)), {
        once: true,
      });
    });
    try {
      await Promise.race([check(signal), timeUp]);
      return 'ok';
    } catch (error) {
      telemetry.error(`not ready: ${name}`, error);
      return error instanceof Error ? error.message : String(error);
    }
  }

  return () => {
    if (last && now() - last.at < SHARED_MS) return Promise.resolve(last.answer);
    running ??= run().finally(() => {
      running = undefined;
    });
    return running;
  };
}

/**
 * What the functions behind the API depend on, in their own region: that another region's replica would answer in its
 * place does not make this one ready. `write` is left out for those that may not.
 */
export function serviceChecks(
  { own, place, now }: Pick<Service, 'own' | 'place' | 'now'>,
  {
    keyArn,
    writes,
    kms = new KMSClient({ maxAttempts: 1 }),
  }: {
    readonly keyArn: string;
    readonly writes: boolean;
    readonly kms?: KMSClient;
  },
): Readonly<Record<string, Check>> {
  return {
    read: () => own.generation(),
    ...(writes && { write: () => own.probe(place.region, now()) }),
    key: (abortSignal) =>
      kms.send(new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_256' }), { abortSignal }),
  };
}

type ReadyPath = (typeof PATHS)['ready' | 'readyRecords' | 'readyPush' | 'readyPull'];

/** `GET /ready` by this readiness, which a release asks of every function; and under `path`, where the API leads to it. */
export function readyRoutes(readiness: Readiness, path: ReadyPath = PATHS.ready): Routes {
  const route: Route = async (request): Promise<HttpAnswer> => {
    const answer = await readiness();
    const ready = answer.status === 'ready';
    request.samples.push(
      { name: METRICS.healthChecks, value: 1 },
      { name: METRICS.healthCheckFailures, value: ready ? 0 : 1 },
    );
    return ready
      ? { status: 200, body: answer }
      : { status: 503, headers: { 'retry-after': '5' }, body: answer };
  };
  return { [READY_ROUTE]: route, [`GET ${path}`]: route };
}
