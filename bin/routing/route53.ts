// What Route 53 itself says of a stage's four health checks. They are found by what they check, as the templates have it
// (lib/constructs/failover-dns.ts), so that no other right is needed than to list checks and to ask for their status.
import {
  GetHealthCheckStatusCommand,
  type HealthCheckConfig,
  type HealthCheck as Listed,
  ListHealthChecksCommand,
  Route53Client,
  Route53ServiceException,
} from '@aws-sdk/client-route-53';
import type { HealthCheck } from './looks.ts';
import { reasonOf } from './table.ts';

/** What the templates give each check. */
export interface ExpectedChecks {
  /** Checks of `/health`, by the names of the two Regions. */
  readonly endpoints: readonly { readonly name: string; readonly host: string }[];
  /** The check that keeps an evacuated primary out of DNS. */
  readonly alarm: { readonly name: string; readonly alarmName: string; readonly region: string };
  /** Over the first endpoint and the alarm: what the primary's record follows. */
  readonly calculated: { readonly name: string };
}

export interface Route53Options {
  /** @default AWS's, or what AWS_ENDPOINT_URL_ROUTE_53 says */
  readonly endpoint?: string;
  /** @default the environment's, as every AWS tool finds them */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** For everything together. @default 6000 */
  readonly msMax?: number;
}

/** `why`: nothing could be learned of any of them. */
export type Route53Answer =
  | { readonly checks: readonly HealthCheck[]; readonly why?: never }
  | { readonly checks?: never; readonly why: string };

/** Healthy while more than this share of the checkers say so.
 * https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html */
const HEALTHY_SHARE = 0.18;
const MS_MAX_DEFAULT = 6_000;
const CONNECT_MS_MAX = 2_000;
/** An account has five requests a second: one that is refused for that is worth another. */
const ATTEMPTS_MAX = 3;
/** Of Route 53 in partition `aws`, wherever the stage is: the only one with public health checks here. */
const REGION = 'us-east-1';

/** Never throws: that Route 53 does not answer, or must not, is said in words. */
export async function healthChecksOnAws(
  expected: ExpectedChecks,
  { endpoint, credentials, msMax = MS_MAX_DEFAULT }: Route53Options = {},
): Promise<Route53Answer> {
  const client = new Route53Client({
    region: REGION,
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { connectionTimeout: CONNECT_MS_MAX },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials && { credentials }),
  });
  const abortSignal = AbortSignal.timeout(msMax);
  const ask = async (id: string): Promise<Observed> => {
    try {
      return await inTime(askStatus(client, id, abortSignal), abortSignal);
    } catch (error) {
      return { why: whyOf(error, abortSignal, msMax) };
    }
  };
  try {
    return await answerOf(expected, await inTime(listAll(client, abortSignal), abortSignal), ask);
  } catch (error) {
    return { why: whyOf(error, abortSignal, msMax) };
  } finally {
    client.destroy();
  }
}

type Ask = (id: string) => Promise<Observed>;

async function answerOf(
  { endpoints, alarm, calculated }: ExpectedChecks,
  all: readonly Listed[],
  ask: Ask,
): Promise<Route53Answer> {
  const answering = endpoints.map(({ host }) => all.find((it) => isEndpoint(it.HealthCheckConfig, host)));
  const latch = all.find((it) => isAlarm(it.HealthCheckConfig, alarm));
  const childIds = [answering[0]?.Id, latch?.Id];
  const both = all.find((it) => isCalculated(it.HealthCheckConfig, childIds));
  const expected = [...answering, latch, both];
  if (!expected.some(Boolean))
    return {
      why: `Route 53 has none of the ${expected.length} checks of this stage: is its traffic stack deployed, and are these credentials of its account?`,
    };
  const children = await Promise.all([
    ...endpoints.map(({ name }, n) => askedOf(name, 'endpoint', answering[n], ask)),
    askedOf(alarm.name, 'alarm', latch, ask),
  ]);
  return { checks: [...children, calculatedOf(calculated.name, both, children)] };
}

/** What a check is said to be; undefined where that is not known. */
interface Observed {
  readonly healthy?: boolean;
  readonly why: string;
}

async function listAll(client: Route53Client, abortSignal: AbortSignal): Promise<readonly Listed[]> {
  const all: Listed[] = [];
  for (let Marker: string | undefined; ; ) {
    const page = await client.send(new ListHealthChecksCommand({ Marker }), { abortSignal });
    all.push(...(page.HealthChecks ?? []));
    if (!page.IsTruncated || page.NextMarker === undefined) return all;
    Marker = page.NextMarker;
  }
}

async function askStatus(client: Route53Client, id: string, abortSignal: AbortSignal): Promise<Observed> {
  const command = new GetHealthCheckStatusCommand({ HealthCheckId: id });
  const { HealthCheckObservations: all = [] } = await client.send(command, { abortSignal });
  const reports = all.flatMap(({ StatusReport }) => StatusReport ?? []);
  if (reports.length === 0) return { why: 'no checker has reported yet' };
  const well = reports.filter(({ Status = '' }) => Status.startsWith('Success')).length;
  const latest = reports.reduce((a, b) => (timeOf(b) > timeOf(a) ? b : a));
  const at = latest.CheckedTime ? ` at ${latest.CheckedTime.toISOString()}` : '';
  return {
    healthy: well / reports.length > HEALTHY_SHARE,
    why: `last result of ${well} of ${reports.length} checkers a success; the latest${at}: ${latest.Status ?? 'nothing'}`,
  };
}

function timeOf({ CheckedTime }: { readonly CheckedTime?: Date | undefined }): number {
  return CheckedTime?.getTime() ?? 0;
}

async function askedOf(
  name: string,
  kind: HealthCheck['kind'],
  check: Listed | undefined,
  ask: Ask,
): Promise<HealthCheck> {
  if (check?.Id === undefined) return { name, kind, why: 'Route 53 has no such check' };
  const { Id: id, HealthCheckConfig: { Disabled, Inverted } = {} } = check;
  if (Disabled) return { id, name, kind, healthy: true, why: 'disabled: counts as healthy' };
  const { healthy, why } = await ask(id);
  if (healthy === undefined) return { id, name, kind, why };
  return { id, name, kind, healthy: healthy !== (Inverted === true), why };
}

/**
 * Route 53 tells the status of a calculated check to nobody but its console and CloudWatch; it follows from the children.
 * https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckStatus.html
 */
function calculatedOf(
  name: string,
  check: Listed | undefined,
  children: readonly HealthCheck[],
): HealthCheck {
  const kind = 'calculated';
  if (check?.Id === undefined) return { name, kind, why: 'Route 53 has no such check' };
  const { Id: id, HealthCheckConfig: { Disabled, Inverted, ChildHealthChecks = [], HealthThreshold } = {} } =
    check;
  if (Disabled) return { id, name, kind, healthy: true, why: 'disabled: counts as healthy' };
  const needed = HealthThreshold ?? ChildHealthChecks.length;
  const of = ChildHealthChecks.map((child) => children.find((it) => it.id === child)?.healthy);
  const well = of.filter((healthy) => healthy === true).length;
  const unknown = of.filter((healthy) => healthy === undefined).length;
  const why = `by its children: ${well} of ${of.length} healthy${unknown > 0 ? `, ${unknown} not known` : ''}, ${needed} needed`;
  const isSure = well >= needed || well + unknown < needed;
  return isSure
    ? { id, name, kind, healthy: well >= needed !== (Inverted === true), why }
    : { id, name, kind, why };
}

function isEndpoint(config: HealthCheckConfig | undefined, host: string): boolean {
  return config?.Type === 'HTTPS' && config.FullyQualifiedDomainName === host;
}

function isAlarm(
  config: HealthCheckConfig | undefined,
  { alarmName, region }: ExpectedChecks['alarm'],
): boolean {
  const { Name, Region } = config?.AlarmIdentifier ?? {};
  return Name === alarmName && Region === region;
}

function isCalculated(
  config: HealthCheckConfig | undefined,
  children: readonly (string | undefined)[],
): boolean {
  const { ChildHealthChecks: all = [] } = config ?? {};
  return config?.Type === 'CALCULATED' && children.every((id) => id !== undefined && all.includes(id));
}

/** Also where what is waited for hears of no signal, as credentials that are looked for do not. */
function inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const over = () => reject(signal.reason);
    if (signal.aborted) over();
    signal.addEventListener('abort', over, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', over));
  });
}

function whyOf(error: unknown, signal: AbortSignal, msMax: number): string {
  if (signal.aborted) return `Route 53 gave no answer within ${msMax / 1_000} s`;
  if (!(error instanceof Route53ServiceException)) return `Route 53 could not be asked: ${reasonOf(error)}`;
  const { name, message } = error;
  if (/^AccessDenied/.test(name))
    return `Route 53 refuses: expected the right to route53:ListHealthChecks and route53:GetHealthCheckStatus, got ${name}: ${message}`;
  return `Route 53 answered ${name}: ${message}`;
}
