// One region as a process of its own, so that it can be killed and frozen like one: its functions, the fronts of its
// APIs, its schedules. Forked by the supervisor with RegionProcessOptions as JSON in the first argument; ends when the
// supervisor does.

import { setTimeout as sleep } from 'node:timers/promises';
import { readDeployment } from '../assembly/assembly.ts';
import { substitute } from '../assembly/substitutions.ts';
import { credentialsOf } from '../aws/credentials.ts';
import { STREAMS_PREFIX } from '../aws/dynamodb/streams-api.ts';
import { Iam } from '../aws/iam.ts';
import { signedCall } from '../aws/signed-call.ts';
import { preciseNow } from '../measuring.ts';
import type {
  FromRegionProcess,
  MetricPoint,
  RegionProcessOptions,
  ToRegionProcess,
  TrafficMessage,
} from '../supervisor/messages.ts';
import { outcomeOf } from '../supervisor/orders.ts';
import { type Answered, type Front, openFront } from './api-gateway.ts';
import { apisOf } from './api-gateway-model.ts';
import { EventSource } from './event-source.ts';
import { type EventSourceMapping, mappingsOf } from './event-source-mappings.ts';
import { INJECTED_ERROR, workingFunctionsOf } from './gray.ts';
import { type InvokeRequest, type Invoker, Lambda } from './lambda.ts';
import { functionNameOf, qualifierOf } from './lambda-functions.ts';
import { type QueueMapping, queueMappingsOf } from './queue-mappings.ts';
import { QueueSource } from './queue-source.ts';
import { Scheduler, schedulesOf } from './scheduler.ts';

const REPORT_EVERY_MS = 1_000;
/** More lines in one report are counted, not sent: a failing function must not drown the supervisor. */
const LOG_LINES_MAX = 100;

function send(message: FromRegionProcess): void {
  // The channel may close between a check and a send; then the process is about to end anyway.
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

/** Gathers what happens in a second and sends it at its end. */
class Reports {
  #traffic = new Map<string, { served: number; errors: number }>();
  #points: MetricPoint[] = [];
  #lines = 0;

  constructor() {
    setInterval(() => this.#flush(), REPORT_EVERY_MS);
  }

  answered({ resourcePath, status }: Answered): void {
    const counts = this.#traffic.get(resourcePath) ?? { served: 0, errors: 0 };
    counts[status < 500 ? 'served' : 'errors'] += 1;
    this.#traffic.set(resourcePath, counts);
  }

  metrics(points: readonly MetricPoint[]): void {
    this.#points.push(...points);
  }

  log(line: string): void {
    this.#lines += 1;
    if (this.#lines <= LOG_LINES_MAX) send({ type: 'log', line });
  }

  #flush(): void {
    const counts = [...this.#traffic.values()];
    send({
      type: 'traffic',
      at: preciseNow(),
      served: counts.reduce((sum, { served }) => sum + served, 0),
      errors: counts.reduce((sum, { errors }) => sum + errors, 0),
      byResource: Object.fromEntries(this.#traffic),
    } satisfies TrafficMessage);
    this.#traffic = new Map();
    if (this.#points.length > 0) send({ type: 'metrics', points: this.#points });
    this.#points = [];
    if (this.#lines > LOG_LINES_MAX)
      send({ type: 'log', line: `… and ${this.#lines - LOG_LINES_MAX} lines more in this second` });
    this.#lines = 0;
  }
}

async function run(options: RegionProcessOptions) {
  const { assemblyDir, account, region, awsEndpoint, substitutions } = options;
  const reports = new Reports();
  const onLog = (line: string) => reports.log(line);
  const deployment = readDeployment(assemblyDir, { account });
  const lambda = new Lambda({
    deployment,
    region,
    mayInvoke: remembered(new Iam(deployment)),
    environmentOf: (environment, roleArn) =>
      substitute(environment, { ...substitutions, awsEndpoint, roleArn, region }),
    onLog,
    onMetrics: (points) => reports.metrics(points),
  });
  await lambda.warm();
  const { apis } = apisOf(deployment, region);
  const fronts = await Promise.all(
    apis.map((api) =>
      openFront({
        api,
        invoke: (request) => lambda.invoke(request),
        onAnswered: (answered) => reports.answered(answered),
        onLog,
      }),
    ),
  );
  const scheduler = new Scheduler({
    schedules: schedulesOf(deployment, region).schedules,
    account: deployment.account,
    region,
    invokeAsync: (request) => lambda.invokeAsync(request),
    onLog,
  });
  process.on('message', async (message: ToRegionProcess) => {
    if (message.type === 'run') {
      const { id, schedule, atMs } = message;
      const outcome = await outcomeOf(() => runToEnd(lambda, scheduler.requestOf(schedule, atMs)));
      send({ type: 'ran', id, outcome });
    } else {
      const { gray, spared } = message;
      lambda.fail(gray ? { names: workingFunctionsOf(apis, spared), error: INJECTED_ERROR } : undefined);
    }
  });
  for (const mapping of mappingsOf(deployment, region).mappings)
    startEventSource(mapping, options, lambda, onLog);
  for (const mapping of queueMappingsOf(deployment, region).mappings)
    startQueueSource(mapping, options, lambda, onLog);
  send({
    type: 'ready',
    endpoints: fronts.map(({ api, port }: Front) => ({ apiPhysicalId: api.id, port })),
  });
}

/** @throws Error the function failed; says how */
async function runToEnd(lambda: Lambda, request: InvokeRequest): Promise<null> {
  const { functionError } = await lambda.invoke(request);
  if (!functionError) return null;
  const { errorType, errorMessage } = functionError;
  throw new Error(`${functionNameOf(request.functionArn)} failed: ${errorType}: ${errorMessage}`);
}

/** Longer than a stream of this region, which is on this machine, ever takes to answer. */
const STREAM_ANSWER_MS_MAX = 5_000;

/** What a mapping invokes, and as whom it reads its source. */
function fedBy(
  { id, functionName }: Pick<EventSourceMapping, 'id' | 'functionName'>,
  region: string,
  { functions }: Lambda,
) {
  const target = functions.get(functionNameOf(functionName));
  if (!target)
    throw new Error(`event source mapping ${id}: there is no function ${functionName} in ${region}`);
  const functionArn = `${target.arn}:${qualifierOf(functionName)}`;
  return { functionArn, credentials: credentialsOf(target.roleArn, region) };
}

/** Longer than a poll of a queue waits. */
const QUEUE_ANSWER_MS_MAX = 30_000;

function startQueueSource(
  mapping: QueueMapping,
  { region, awsEndpoint: endpoint }: RegionProcessOptions,
  lambda: Lambda,
  onLog: (line: string) => void,
): void {
  const { functionArn, credentials } = fedBy(mapping, region, lambda);
  const invoker = { mappingArn: mapping.arn };
  new QueueSource({
    mapping,
    region,
    call: (operation, input) =>
      signedCall(
        { endpoint, credentials, region, service: 'sqs', timeoutMs: QUEUE_ANSWER_MS_MAX },
        `AmazonSQS.${operation}`,
        input,
      ),
    invoke: (payload) => lambda.invoke({ functionArn, invoker, payload }),
    onLog,
    wait: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined),
  });
}

function startEventSource(
  mapping: EventSourceMapping,
  { region, awsEndpoint: endpoint, checkpoints }: RegionProcessOptions,
  lambda: Lambda,
  onLog: (line: string) => void,
): void {
  const { id, arn: mappingArn } = mapping;
  const { functionArn, credentials } = fedBy(mapping, region, lambda);
  const checkpoint = checkpoints?.[id];
  // A region that ran before and got nowhere has read nothing: what came meanwhile is not to be passed over.
  const startingPosition = checkpoints ? 'TRIM_HORIZON' : mapping.startingPosition;
  new EventSource({
    mapping: { ...mapping, startingPosition },
    call: (operation, input) =>
      signedCall(
        { endpoint, credentials, region, service: 'dynamodb', timeoutMs: STREAM_ANSWER_MS_MAX },
        `${STREAMS_PREFIX}.${operation}`,
        input,
      ),
    invoke: (payload) => lambda.invoke({ functionArn, invoker: { mappingArn }, payload }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    onCheckpoint: (sequenceNumber) => send({ type: 'checkpoint', mappingId: id, sequenceNumber }),
    onLog,
    wait: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined),
    now: Date.now,
  });
}

/** Policies do not change while a region runs: each pair of invoker and function is judged once. */
function remembered(iam: Iam): (invoker: Invoker, functionArn: string) => boolean {
  const verdicts = new Map<string, boolean>();
  return (invoker, functionArn) => {
    const key = `${'roleArn' in invoker ? invoker.roleArn : `${invoker.service} ${invoker.sourceArn}`} ${functionArn}`;
    const verdict = verdicts.get(key) ?? iam.mayInvoke(invoker, functionArn);
    verdicts.set(key, verdict);
    return verdict;
  };
}

// Ctrl-C reaches every process of the terminal; when a region ends is the supervisor's decision.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit());
// As in Lambda, whatever the machine's own time zone is.
process.env['TZ'] = 'UTC';
try {
  const [, , options] = process.argv;
  if (options === undefined)
    throw new Error('region.ts is started by the rehearsal, with its options as JSON');
  await run(JSON.parse(options));
} catch (failed) {
  send({ type: 'log', line: `failed to start: ${failed instanceof Error ? failed.stack : failed}` });
  throw failed;
}
