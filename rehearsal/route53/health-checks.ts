// Route 53's health checks: several checkers probe an endpoint out of step, each makes up its own mind after enough
// equal results in a row, and the endpoint is healthy while enough of them think so. Checks over other checks and over
// alarms follow from those.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
import { request } from 'node:http';
import type { AlarmStateValue } from '../cloudwatch.ts';

interface CheckBase {
  /** What `Ref` gives. */
  readonly id: string;
  readonly name: string;
  readonly inverted: boolean;
}

export interface EndpointCheck extends CheckBase {
  readonly kind: 'endpoint';
  /** HTTPS is probed over plain HTTP here: the links carry no certificates. */
  readonly host: string;
  readonly path: string;
  readonly intervalMs: number;
  readonly failureThreshold: number;
}

export interface CalculatedCheck extends CheckBase {
  readonly kind: 'calculated';
  readonly children: readonly string[];
  readonly healthThreshold: number;
}

export interface AlarmCheck extends CheckBase {
  readonly kind: 'alarm';
  readonly alarmRegion: string;
  readonly alarmName: string;
  readonly insufficientData: 'Healthy' | 'Unhealthy' | 'LastKnownStatus';
}

export type HealthCheckDefinition = EndpointCheck | CalculatedCheck | AlarmCheck;

export interface CheckerState {
  readonly healthy: boolean;
  /** Results in a row that contradict `healthy`; at the threshold it turns. */
  readonly against: number;
  /** The last result in words; empty before the first. */
  readonly last: string;
  /** Unix ms of the last result; 0 before the first. */
  readonly at: number;
}

export interface HealthCheckState {
  readonly id: string;
  readonly name: string;
  readonly kind: HealthCheckDefinition['kind'];
  readonly healthy: boolean;
  /** Unix ms of the last change. */
  readonly since: number;
  readonly why: string;
  /** Of an endpoint check. */
  readonly checkers: readonly CheckerState[];
}

/** Route 53 has some sixteen checkers in eight regions; three show the same behaviour. */
export const CHECKERS = 3;
/** Route 53's own constant: healthy while more than this part of the checkers say so. */
export const HEALTHY_PART = 0.18;
const CONNECT_MS_MAX = 4_000;
const RESPONSE_MS_MAX = 2_000;

/** New health checks count as healthy until there is enough to tell (docs, "Route 53 considers a new …"). */
export const NEW_CHECKER: CheckerState = { healthy: true, against: 0, last: '', at: 0 };

export interface ProbeResult {
  readonly ok: boolean;
  readonly text: string;
}

/** One checker's mind after one more result. Pure. */
export function afterProbe(
  checker: CheckerState,
  { ok, text }: ProbeResult,
  threshold: number,
  nowMs: number,
): CheckerState {
  const against = ok === checker.healthy ? 0 : checker.against + 1;
  const turns = against >= threshold;
  return {
    healthy: turns ? ok : checker.healthy,
    against: turns ? 0 : against,
    last: text,
    at: nowMs,
  };
}

/** What the checkers together say. Pure. */
export function verdictOf(checkers: readonly CheckerState[]): { healthy: boolean; why: string } {
  const well = checkers.filter(({ healthy }) => healthy).length;
  const healthy = well / checkers.length > HEALTHY_PART;
  const latest = checkers.reduce((a, b) => (b.at > a.at ? b : a));
  return {
    healthy,
    why: `${well} of ${checkers.length} checkers say healthy; last result: ${latest.last || 'none yet'}`,
  };
}

/** A calculated check. Pure; a child that does not exist counts as unhealthy. */
export function calculate(
  { children, healthThreshold }: CalculatedCheck,
  isHealthy: (id: string) => boolean,
): { healthy: boolean; why: string } {
  const well = children.filter(isHealthy).length;
  return {
    healthy: well >= healthThreshold,
    why: `${well} of ${children.length} children healthy, ${healthThreshold} needed`,
  };
}

/** A check over an alarm. Pure; an alarm that is not rehearsed counts as having too little data. */
export function followAlarm(
  { alarmName, alarmRegion, insufficientData }: AlarmCheck,
  state: AlarmStateValue | undefined,
  lastKnown: boolean,
): { healthy: boolean; why: string } {
  const why = `alarm ${alarmName} in ${alarmRegion}: ${state ?? 'not rehearsed'}`;
  if (state === 'OK' || state === 'ALARM') return { healthy: state === 'OK', why };
  return {
    healthy: insufficientData === 'LastKnownStatus' ? lastKnown : insufficientData === 'Healthy',
    why,
  };
}

/** One definition from its template; undefined for a type that is not rehearsed (TCP, string matching, ARC). */
export function readHealthCheck(
  id: string,
  properties: Readonly<Record<string, unknown>>,
): HealthCheckDefinition | undefined {
  const config = (properties['HealthCheckConfig'] ?? {}) as Readonly<Record<string, unknown>>;
  const tags = (properties['HealthCheckTags'] ?? []) as readonly { Key: string; Value: string }[];
  const base = {
    id,
    name: tags.find(({ Key }) => Key === 'Name')?.Value ?? id,
    inverted: config['Inverted'] === true,
  };
  switch (config['Type']) {
    case 'HTTP':
    case 'HTTPS':
      return {
        ...base,
        kind: 'endpoint',
        host: String(config['FullyQualifiedDomainName']),
        path: String(config['ResourcePath'] ?? '/'),
        intervalMs: Number(config['RequestInterval'] ?? 30) * 1_000,
        failureThreshold: Number(config['FailureThreshold'] ?? 3),
      };
    case 'CALCULATED': {
      const children = (config['ChildHealthChecks'] ?? []) as readonly string[];
      // Without a threshold all children have to be healthy.
      const healthThreshold = Number(config['HealthThreshold'] ?? children.length);
      return { ...base, kind: 'calculated', children, healthThreshold };
    }
    case 'CLOUDWATCH_METRIC': {
      const alarm = config['AlarmIdentifier'] as { Name: string; Region: string };
      return {
        ...base,
        kind: 'alarm',
        alarmName: alarm.Name,
        alarmRegion: alarm.Region,
        insufficientData: (config['InsufficientDataHealthStatus'] ??
          'LastKnownStatus') as AlarmCheck['insufficientData'],
      };
    }
    default:
      return undefined;
  }
}

/**
 * One probe as a checker makes it: a connection of its own, made within 4 s, and a status from 200 to 399 within 2 s
 * after. `signal` ends it early.
 */
export function probeEndpoint(
  port: number,
  { host, path }: EndpointCheck,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const from = performance.now();
  return new Promise((resolve) => {
    const attempt = request({
      host: '127.0.0.1',
      port,
      path,
      agent: false,
      signal,
      headers: { host, 'user-agent': 'Amazon-Route53-Health-Check-Service (rehearsed)' },
    });
    let timer = setTimeout(() => end(false, `no connection in ${CONNECT_MS_MAX} ms`), CONNECT_MS_MAX);
    const end = (ok: boolean, text: string) => {
      clearTimeout(timer);
      resolve({ ok, text });
      attempt.destroy();
    };
    attempt.once('socket', (socket) =>
      socket.once('connect', () => {
        clearTimeout(timer);
        timer = setTimeout(() => end(false, `no answer in ${RESPONSE_MS_MAX} ms`), RESPONSE_MS_MAX);
      }),
    );
    attempt.once('response', ({ statusCode = 0 }) => {
      const ms = Math.round(performance.now() - from);
      end(statusCode >= 200 && statusCode < 400, `${statusCode} in ${ms} ms`);
    });
    attempt.on('error', (error: NodeJS.ErrnoException) => end(false, error.code ?? error.message));
    attempt.end();
  });
}
