// From a history to numbers. Pure: the same history always gives the same ones.
import { percentile } from '../../measuring.ts';
import type { OperationEntry } from './history.ts';

export interface MeasureInput {
  readonly history: readonly OperationEntry[];
  /** Unix ms: from when the load ran steadily, when the fault was made. */
  readonly steadyFrom: number;
  readonly faultAt: number;
  /** The broken region. */
  readonly region: string;
  /** Acknowledged writes that a read afterwards did not find, per region asked. */
  readonly missing: readonly { readonly key: string; readonly region: string; readonly found: string }[];
  /** Whether clients are to leave it, and be served elsewhere. */
  readonly leaves: boolean;
  readonly dnsExpected: boolean;
}

export interface Gap {
  readonly from: number;
  readonly to: number;
}

export interface Measurements {
  /** Fault to the first request another region received because of it and then served; null: there was none. Absent
   * where clients are not to leave. */
  readonly redirectMs?: number | null;
  /** Between two successes of the library client, from the last one before the fault on: the outage that it saw. */
  readonly longestGapMs: number;
  readonly longestGap: Gap;
  /** From scheduled start to answer, of the library client, from the steady state on. */
  readonly worstLatencyMs: number;
  readonly requests: number;
  readonly requestsFailed: number;
  /** Reads that were answered with less than was acknowledged before they began. */
  readonly staleReads: number;
  /** In the steady state before the fault. */
  readonly steadyLatencyMsP95: number;
  readonly attemptsPerOperation: number;
  readonly acknowledgedWrites: number;
  readonly acknowledgedWritesLost: number;
  /** Of the DNS-only client: its last success at the broken region, to its first elsewhere (null: none came); where clients
   * are not to leave, between two successes. Absent when not looked at. */
  readonly dnsOutageMs?: number | null;
  readonly dnsRequests?: number;
  readonly dnsRequestsFailed?: number;
}

export function measure(input: MeasureInput): Measurements {
  const { history, steadyFrom, faultAt, missing } = input;
  const library = history.filter(({ client }) => client === 'library');
  const longestGap = longestGapOf(library, faultAt);
  const steady = library.filter(({ scheduledAt, endedAt }) => scheduledAt >= steadyFrom && endedAt < faultAt);
  const attempts = steady.reduce((sum, entry) => sum + entry.attempts.length, 0);
  return {
    ...(input.leaves ? { redirectMs: redirectMsOf(library, input) } : {}),
    longestGapMs: longestGap.to - longestGap.from,
    longestGap,
    worstLatencyMs: library
      .filter(({ scheduledAt }) => scheduledAt >= steadyFrom)
      .reduce((worst, { scheduledAt, endedAt }) => Math.max(worst, endedAt - scheduledAt), 0),
    requests: library.length,
    requestsFailed: library.filter((entry) => !entry.ok && !isStale(entry)).length,
    staleReads: library.filter(isStale).length,
    steadyLatencyMsP95: percentile(
      steady.map(({ scheduledAt, endedAt }) => endedAt - scheduledAt),
      0.95,
    ),
    attemptsPerOperation: steady.length === 0 ? Number.NaN : attempts / steady.length,
    acknowledgedWrites: acknowledgedWrites(history).size,
    acknowledgedWritesLost: new Set(missing.map(({ key }) => key)).size,
    ...(input.dnsExpected ? measureDns(input) : {}),
  };
}

function measureDns(input: MeasureInput): Partial<Measurements> {
  const dns = input.history.filter(({ client }) => client === 'dns');
  const gap = longestGapOf(dns, input.faultAt);
  return {
    dnsOutageMs: input.leaves ? dnsOutageMsOf(dns, input) : gap.to - gap.from,
    dnsRequests: dns.length,
    dnsRequestsFailed: dns.filter(({ ok }) => !ok).length,
  };
}

/** Every acknowledged write with its version; a record is written once. */
export function acknowledgedWrites(history: readonly OperationEntry[]): ReadonlyMap<string, string> {
  return new Map(
    history.flatMap(({ operation, ok, key, version }) =>
      operation === 'put' && ok && version !== undefined ? [[key, version] as const] : [],
    ),
  );
}

/** Answered, and with less than its client had been promised. */
export function isStale({ operation, acknowledged, status, version }: OperationEntry): boolean {
  if (operation !== 'get' || acknowledged === undefined) return false;
  return status === 404 || (status === 200 && (version === undefined || version < acknowledged));
}

/** Copies sent before the fault, and guesses about requests that were slow before it, prove nothing. Neither do first
 * attempts: that a request goes to the standby at once is what an earlier redirect has brought about. */
function redirectMsOf(library: readonly OperationEntry[], { faultAt, region }: MeasureInput): number | null {
  let first: number | null = null;
  for (const { ok, scheduledAt, region: servedBy, receivedAt, attempts } of library) {
    if (!ok || servedBy === undefined || servedBy === region || receivedAt === undefined) continue;
    const settled = attempts.find(({ outcome }) => outcome === 'settled');
    if (settled === undefined || settled.kind === 'first' || settled.startedAt < faultAt) continue;
    if (settled.kind === 'hedge' && scheduledAt < faultAt) continue;
    const afterMs = receivedAt - faultAt;
    if (afterMs >= 0 && (first === null || afterMs < first)) first = afterMs;
  }
  return first;
}

/** Between neighbouring successes of which the later came after the fault. */
function longestGapOf(library: readonly OperationEntry[], faultAt: number): Gap {
  const ends = library
    .filter(({ ok }) => ok)
    .map(({ endedAt }) => endedAt)
    .sort((a, b) => a - b);
  const lastEnd = library.reduce((last, { endedAt }) => Math.max(last, endedAt), faultAt);
  let longest: Gap = { from: faultAt, to: faultAt };
  let previous = Math.min(ends[0] ?? faultAt, faultAt);
  for (const end of [...ends, lastEnd]) {
    if (end > faultAt && end - previous > longest.to - longest.from) longest = { from: previous, to: end };
    previous = end;
  }
  return longest;
}

function dnsOutageMsOf(dns: readonly OperationEntry[], { faultAt, region }: MeasureInput): number | null {
  const served = dns.filter(({ ok }) => ok);
  const before = served.filter((entry) => entry.region === region && entry.endedAt < faultAt + IN_FLIGHT_MS);
  const after = served.filter((entry) => entry.region !== region && entry.endedAt > faultAt);
  if (before.length === 0 || after.length === 0) return null;
  return Math.min(...after.map(({ endedAt }) => endedAt)) - Math.max(...before.map(({ endedAt }) => endedAt));
}

/** An answer on its way when the fault struck still arrives. */
const IN_FLIGHT_MS = 1_000;
