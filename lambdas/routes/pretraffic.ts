// Before a release sends traffic to a new version: asks that version, twice in a row, whether it is ready, and tells
// CodeDeploy (the deployment manifest's readiness probe).
import { setTimeout as sleep } from 'node:timers/promises';
import { PATHS } from '../../protocol/messages.ts';
import type { Telemetry } from '../telemetry.ts';

/** The specification's readiness probe; a test holds these to `config/promises.ts`. */
export const READY_ASKS = 2;
export const READY_ASK_EVERY_MS = 5_000;

/** What CodeDeploy invokes the hook with. */
export interface HookEvent {
  readonly DeploymentId: string;
  readonly LifecycleEventHookExecutionId: string;
}

/** What a function answered: its payload, or that it failed without one. */
export interface InvokeAnswer {
  readonly failed: string | undefined;
  readonly payload: string;
}

export interface PretrafficParts {
  /** Invokes the new version with an event, as JSON, and waits for its answer. */
  readonly invoke: (payload: string) => Promise<InvokeAnswer>;
  readonly report: (event: HookEvent, status: 'Succeeded' | 'Failed') => Promise<unknown>;
  readonly telemetry: Telemetry;
  /** @default a timer */
  readonly wait?: (ms: number) => Promise<unknown>;
}

export function createPretraffic({ invoke, report, telemetry, wait = sleep }: PretrafficParts) {
  return async (event: HookEvent): Promise<void> => {
    let ready = true;
    for (let asked = 0; asked < READY_ASKS && ready; asked += 1) {
      if (asked > 0) await wait(READY_ASK_EVERY_MS);
      try {
        refuseUnlessReady(await invoke(JSON.stringify(READY_EVENT)));
      } catch (error) {
        ready = false;
        telemetry.error('the new version is not ready', error, { deployment: event.DeploymentId });
      }
    }
    // A report that fails fails the invocation, which CodeDeploy sees too.
    await report(event, ready ? 'Succeeded' : 'Failed');
  };
}

/** `GET /ready` as API Gateway would send it. */
const READY_EVENT = {
  resource: PATHS.ready,
  path: PATHS.ready,
  httpMethod: 'GET',
  headers: {},
  multiValueHeaders: {},
  queryStringParameters: null,
  multiValueQueryStringParameters: null,
  pathParameters: null,
  stageVariables: null,
  requestContext: { requestId: 'pretraffic', resourcePath: PATHS.ready, httpMethod: 'GET' },
  body: null,
  isBase64Encoded: false,
};

function refuseUnlessReady({ failed, payload }: InvokeAnswer): void {
  if (failed !== undefined) throw new Error(`it failed: ${failed}, ${payload}`);
  const answer: unknown = JSON.parse(payload);
  const status =
    typeof answer === 'object' && answer !== null && 'statusCode' in answer ? answer.statusCode : undefined;
  if (status !== 200) throw new Error(`expected status 200, got ${String(status)}: ${payload}`);
}
