// The recovery table, computed: for each row the worst case that the configured intervals, thresholds and TTLs add
// up to. A drill measures the same rows; this refuses at synth what could never pass.
import type { Config } from './config.ts';
import { RECOVERY_MS_MAX } from './promises.ts';

export type RecoveryRow = keyof typeof RECOVERY_MS_MAX;

export interface RecoveryBudget {
  readonly row: RecoveryRow;
  readonly promiseMs: number;
  readonly parts: readonly { readonly name: string; readonly ms: number }[];
  readonly totalMs: number;
}

/** Lambda ends an initialisation after 10 s:
 * https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html */
const LAMBDA_INIT_MS_MAX = 10_000;
/** A client redirects after 50 ms of silence; the rest is the way to the other region and back. */
const CLIENT_REDIRECT_MS = 1_000;
/** From the decision of Route 53's health checkers to its name servers' answers, rounded up. */
const DNS_PROPAGATION_MS = 20_000;
/** The shortest period of an alarm that a health check follows, and so what DNS may be behind the observers' move:
 * https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html */
const ALARM_PERIOD_MS = 60_000;
/** A probe that is not answered fails after this (protocol/limits.ts). */
const PROBE_MS_MAX = 5_000;
/** Functions hold the routing state no longer than this, and drop it on the next read. */
const ROUTING_CACHE_MS = 5_000;
/** Consecutive good `/ready` answers before a move counts as verified: two at the heartbeat's interval. */
const VERIFY_PROBES = 2;
/** Between closing the table and loading it, so that every function has seen it closed (PROTOCOL 8.1). */
const RESTORE_CLOSE_MS = 15_000;
/** A person reading the page and starting the restore, which has to be asked for. */
const RESTORE_DECISION_MS = 10 * 60_000;

/** The rows of the table that settings decide, with their parts. Without a domain there are two fewer: neither DNS nor
 * the observers move anybody then, and promises-kept.ts says so. Pure: nothing is measured here. */
export function recoveryBudgets(config: Config): readonly RecoveryBudget[] {
  return allBudgets(config).filter(({ row }) => config.domain !== undefined || !DECIDED_BY_DNS.includes(row));
}

const DECIDED_BY_DNS: readonly RecoveryRow[] = ['dataCentreOutage', 'networkPartition'];

function allBudgets(config: Config): readonly RecoveryBudget[] {
  const { dns, recovery } = config;
  const dnsDetection = { name: 'DNS check interval × failures', ms: dns.checkIntervalMs * dns.checkFailures };
  const dnsTtl = { name: 'DNS TTL', ms: dns.ttlMs };
  const dnsPropagation = { name: 'DNS propagation', ms: DNS_PROPAGATION_MS };
  const routing = { name: 'routing state cache', ms: ROUTING_CACHE_MS };
  return [
    budget('serverFailure', [
      { name: 'client redirect', ms: CLIENT_REDIRECT_MS },
      { name: 'replacement of the execution environment', ms: LAMBDA_INIT_MS_MAX },
    ]),
    budget('dataCentreOutage', [
      dnsDetection,
      dnsTtl,
      dnsPropagation,
      { name: 'verification', ms: VERIFY_PROBES * config.observers.probeIntervalMs },
    ]),
    budget('corruption', [
      { name: 'scrub interval', ms: recovery.scrubIntervalMs },
      { name: 'repair from the last verified backup', ms: recovery.repairMs },
    ]),
    // The decision, and until the regions act on it. Clients of the library went on at once; whoever knows one name
    // follows DNS, which takes longer (promises-kept.ts).
    budget('networkPartition', [...observerDetection(config), routing]),
    budget('completeLoss', [
      { name: 'decision to restore', ms: RESTORE_DECISION_MS },
      { name: 'closing the table', ms: RESTORE_CLOSE_MS },
      {
        name: 'loading dataGbMax at restoreGbPerMinute',
        ms: (recovery.dataGbMax / recovery.restoreGbPerMinute) * 60_000,
      },
    ]),
  ];
}

/** Detection, TTL and propagation: what a client that knows only the failover name waits for. */
export function dnsFailoverMs({ dns }: Config): number {
  return dns.checkIntervalMs * dns.checkFailures + dns.ttlMs + DNS_PROPAGATION_MS;
}

/** From a fault that no DNS check sees to the last vote. */
function observerDetection({ observers: { probeIntervalMs, probeFailures } }: Config) {
  return [
    { name: 'probe interval × failures', ms: probeIntervalMs * probeFailures },
    { name: 'the last probe', ms: PROBE_MS_MAX },
  ];
}

/** What a client that knows only the failover name waits for where only the observers see the fault: a partition, or a
 * region that answers `/health` and fails at work. At the worst. */
export function dnsByObserversMs(config: Config): number {
  const detectionMs = observerDetection(config).reduce((sum, { ms }) => sum + ms, 0);
  return detectionMs + ALARM_PERIOD_MS + DNS_PROPAGATION_MS + config.dns.ttlMs;
}

/** A recovery time objective that the configuration cannot meet. */
export class RecoveryError extends Error {
  override readonly name = 'RecoveryError';
  readonly row: RecoveryRow;
  constructor(stage: string, { row, promiseMs, parts, totalMs }: RecoveryBudget) {
    const sum = parts.map(({ name, ms }) => `${name} ${ms / 1_000} s`).join(' + ');
    super(
      `stage ${stage}: ${row} promises recovery in under ${promiseMs / 1_000} s, but ${sum} = ${totalMs / 1_000} s`,
    );
    this.row = row;
  }
}

/** @throws RecoveryError for the first row that does not fit */
export function assertRecoverable(config: Config): void {
  for (const row of recoveryBudgets(config)) {
    // Also refuses NaN.
    if (!(row.totalMs < row.promiseMs)) throw new RecoveryError(config.stage, row);
  }
}

function budget(row: RecoveryRow, parts: RecoveryBudget['parts']): RecoveryBudget {
  return { row, promiseMs: RECOVERY_MS_MAX[row], parts, totalMs: parts.reduce((sum, { ms }) => sum + ms, 0) };
}
