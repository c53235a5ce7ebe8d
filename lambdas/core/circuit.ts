// Which region's replica to ask. Each has a circuit for its reads and one for its writes: closed while it works, open
// after failures or slowness, and after a pause a trial decides. Pure: what happened and when come in as arguments.
//
// A read that failed is answered by the next region within the same call, so reads may find out: three failures in a
// row are needed, and trials are theirs first. A write cannot be repeated with its stamp (PROTOCOL 1.3), so one failure
// of either kind steers all writes away until the region is known to work again.

export interface CircuitLimits {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** An answer that took longer was slow, and so many slow ones among the last 20 open it. */
  readonly slowMs: number;
  readonly slowMax: number;
  /** Between opening and the trial; doubles when the trial fails, or when the circuit opens again within `calmMs`. */
  readonly pauseMs: { readonly first: number; readonly max: number };
  readonly calmMs: number;
  /** A failure that nothing followed is forgotten after this. */
  readonly doubtMs: number;
}

/**
 * A read within a region takes milliseconds; a write, and a read with multi-Region strong consistency, a round trip to
 * the nearest peer more, tens of milliseconds within a continent: half a second is far outside.
 */
export const READ_CIRCUIT: CircuitLimits = {
  failuresMax: 3,
  slowMs: 500,
  slowMax: 10,
  pauseMs: { first: 1_000, max: 10_000 },
  calmMs: 60_000,
  doubtMs: 10_000,
};

/** Writes are given a second: a push has up to 32 of them on their way at once. */
export const WRITE_CIRCUIT: CircuitLimits = { ...READ_CIRCUIT, failuresMax: 1, slowMs: 1_000 };

interface Known {
  /** Counts changes of state: what was begun under another era says nothing about this one. */
  readonly era: number;
  /** The last pause; 0 before the first. */
  readonly pauseMs: number;
  /** When it last failed; -Infinity when it never did, or worked since. */
  readonly failedAtMs: number;
}

export type Circuit = Known &
  (
    | {
        readonly state: 'closed';
        /** In a row. */
        readonly failures: number;
        /** One bit an answer, the last 20; set for a slow one. */
        readonly slow: number;
        readonly closedAtMs: number;
      }
    | { readonly state: 'open'; readonly untilMs: number }
    | { readonly state: 'trial' }
  );

const NEVER = Number.NEGATIVE_INFINITY;

export const CLOSED = {
  state: 'closed',
  era: 0,
  failures: 0,
  slow: 0,
  pauseMs: 0,
  closedAtMs: NEVER,
  failedAtMs: NEVER,
} satisfies Circuit;

const ANSWERS_SEEN = (1 << 20) - 1;

/** Whether a call may go there: it works, or a trial is due and nobody's is under way. */
export function takes(circuit: Circuit, nowMs: number): boolean {
  return circuit.state === 'closed' || (circuit.state === 'open' && nowMs >= circuit.untilMs);
}

/** Before a call; its outcome belongs to the era of the circuit this returns. */
export function begin(circuit: Circuit): Circuit {
  if (circuit.state !== 'open') return circuit;
  const { era, pauseMs, failedAtMs } = circuit;
  return { state: 'trial', era: era + 1, pauseMs, failedAtMs };
}

/** After an answer, whatever it said. A trial passes only when it was not slow. */
export function answered(
  circuit: Circuit,
  era: number,
  { tookMs, nowMs }: { readonly tookMs: number; readonly nowMs: number },
  limits: CircuitLimits,
): Circuit {
  if (era !== circuit.era || circuit.state === 'open') return circuit;
  const isSlow = tookMs > limits.slowMs;
  if (circuit.state === 'trial') return isSlow ? opened(circuit, nowMs, limits) : closed(circuit, nowMs);
  const slow = ((circuit.slow << 1) | (isSlow ? 1 : 0)) & ANSWERS_SEEN;
  if (isSlow && bitsIn(slow) >= limits.slowMax) return opened(circuit, nowMs, limits);
  // The usual case leaves everything as it is.
  if (slow === circuit.slow && circuit.failures === 0) return circuit;
  return { ...circuit, slow, failures: 0, failedAtMs: NEVER };
}

/** After a call that got no answer, or one that says the region does not work. */
export function failed(circuit: Circuit, era: number, nowMs: number, limits: CircuitLimits): Circuit {
  if (era !== circuit.era || circuit.state === 'open') return circuit;
  if (circuit.state === 'trial') return opened(circuit, nowMs, limits);
  const failures = nowMs - circuit.failedAtMs > limits.doubtMs ? 1 : circuit.failures + 1;
  if (failures >= limits.failuresMax) return opened(circuit, nowMs, limits);
  return { ...circuit, failures, failedAtMs: nowMs };
}

/** After something else went wrong in its region: as after a failure, but it stays closed. */
export function doubted(circuit: Circuit, nowMs: number): Circuit {
  if (circuit.state !== 'closed') return circuit;
  return { ...circuit, failures: Math.max(1, circuit.failures), failedAtMs: nowMs };
}

function opened(circuit: Circuit, nowMs: number, { pauseMs, calmMs }: CircuitLimits): Circuit {
  const calm = circuit.state === 'closed' && nowMs - circuit.closedAtMs > calmMs;
  const grown = Math.max(pauseMs.first, Math.min(pauseMs.max, circuit.pauseMs * 2));
  const pause = calm ? pauseMs.first : grown;
  return {
    state: 'open',
    era: circuit.era + 1,
    untilMs: nowMs + pause,
    pauseMs: pause,
    failedAtMs: nowMs,
  };
}

function closed({ era, pauseMs }: Circuit, nowMs: number): Circuit {
  return { ...CLOSED, era: era + 1, pauseMs, closedAtMs: nowMs };
}

function bitsIn(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

/** What is known of a region's replica. */
export interface ReplicaHealth {
  readonly reads: Circuit;
  readonly writes: Circuit;
}

export type CallKind = keyof ReplicaHealth;

export const HEALTHY: ReplicaHealth = { reads: CLOSED, writes: CLOSED };

/** Whether a call of this kind may go there now. Writes go only where no call failed since the last good read. */
export function isChoice(health: ReplicaHealth, kind: CallKind, nowMs: number): boolean {
  return kind === 'reads'
    ? takes(health.reads, nowMs)
    : takes(health.writes, nowMs) && isTrusted(health.reads, nowMs);
}

function isTrusted(circuit: Circuit, nowMs: number): boolean {
  if (circuit.state !== 'closed') return false;
  return circuit.failures === 0 || nowMs - circuit.failedAtMs > READ_CIRCUIT.doubtMs;
}

const NONE: readonly number[] = [];

/**
 * The first of the replicas, in their order, that a call may go to and that `tried` does not hold; else, of the others,
 * the one that failed longest ago: a call gives up only where it was tried. Undefined when it was tried everywhere.
 */
export function chooseReplica(
  replicas: readonly ReplicaHealth[],
  kind: CallKind,
  nowMs: number,
  tried: readonly number[] = NONE,
): number | undefined {
  let best: number | undefined;
  for (const [at, health] of replicas.entries()) {
    if (tried.includes(at)) continue;
    if (isChoice(health, kind, nowMs)) return at;
    if (best === undefined || failedEarlier(health, replicas[best] as ReplicaHealth, kind)) best = at;
  }
  return best;
}

/** By calls of this kind, and where those say the same by the others. */
function failedEarlier(a: ReplicaHealth, b: ReplicaHealth, kind: CallKind): boolean {
  const other = kind === 'reads' ? 'writes' : 'reads';
  if (a[kind].failedAtMs !== b[kind].failedAtMs) return a[kind].failedAtMs < b[kind].failedAtMs;
  return a[other].failedAtMs < b[other].failedAtMs;
}

/** A function's own region first, then the serving regions, then the quorum region, which serves nobody else. */
export function replicaOrder(
  {
    primary,
    standby,
    quorum,
  }: { readonly primary: string; readonly standby: string; readonly quorum?: string },
  own: string,
): readonly string[] {
  const all = [primary, standby, ...(quorum === undefined ? [] : [quorum])];
  return [own, ...all.filter((region) => region !== own)];
}
