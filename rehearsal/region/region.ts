// One region as a process of its own, so that it can be killed and frozen like one: its functions, the fronts of its
// APIs, its schedules. Forked by the supervisor with RegionProcessOptions as JSON in the first argument; ends when the
// supervisor does.

import { readDeployment } from '../assembly/assembly.ts';
import { substitute } from '../assembly/substitutions.ts';
import { Iam } from '../aws/iam.ts';
import { preciseNow } from '../measuring.ts';
import type {
  FromRegionProcess,
  MetricPoint,
  RegionProcessOptions,
  TrafficMessage,
} from '../supervisor/messages.ts';
import { type Answered, type Front, openFront } from './api-gateway.ts';
import { apisOf } from './api-gateway-model.ts';
import { type Invoker, Lambda } from './lambda.ts';
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

async function run({ assemblyDir, account, region, awsEndpoint, substitutions }: RegionProcessOptions) {
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
  const fronts = await Promise.all(
    apisOf(deployment, region).apis.map((api) =>
      openFront({
        api,
        invoke: (request) => lambda.invoke(request),
        onAnswered: (answered) => reports.answered(answered),
        onLog,
      }),
    ),
  );
  new Scheduler({
    schedules: schedulesOf(deployment, region).schedules,
    account: deployment.account,
    region,
    invokeAsync: (request) => lambda.invokeAsync(request),
    onLog,
  });
  send({
    type: 'ready',
    endpoints: fronts.map(({ api, port }: Front) => ({ apiPhysicalId: api.id, port })),
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
