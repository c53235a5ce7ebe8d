// The store port over every region's replica: each call goes to the first region whose circuit lets it. Strong
// consistency across regions makes that safe: a conditional write or a consistent read means the same at every
// replica's endpoint. An index does not: whoever reads one has to judge that region's feed (PROTOCOL 6.2), so index
// reads move to another region only as a whole, through `atOneReplica`.
import {
  answered,
  begin,
  type CallKind,
  type Circuit,
  chooseReplica,
  doubted,
  failed,
  HEALTHY,
  READ_CIRCUIT,
  type ReplicaHealth,
  WRITE_CIRCUIT,
} from '../core/circuit.ts';
import { type Store, StoreUnavailableError } from './store.ts';

/**
 * How long one attempt may take, in ms: less in the own region, where another is left to try. Own and both others fit
 * into the 15 s within which a request starts attempts; a write attempt is given up before the 10 s of PROTOCOL 1.3,
 * its socket destroyed.
 */
export const REPLICA_ATTEMPTS = {
  own: { readAttemptMs: 1_000, writeAttemptMs: 3_000 },
  other: { readAttemptMs: 2_000, writeAttemptMs: 5_000 },
} as const;

export interface Replica {
  readonly region: string;
  /** Through that region's endpoint, and no other. */
  readonly store: Store;
}

export interface ReplicatedStoreOptions {
  /** The own region's first, then in the order they are asked. */
  readonly replicas: readonly Replica[];
  /** Ms on a clock that never steps: only differences matter. */
  readonly now: () => number;
  /** Told the region whenever another than the own one answered a call. @default nobody is */
  readonly onElsewhere?: (region: string) => void;
  /** Told when calls of a kind begin to keep away from a region, and why. @default nobody is */
  readonly onAvoided?: (region: string, kind: CallKind, why: string) => void;
}

/** What a page of a feed is read with. */
export type ReplicaReads = Pick<Store, 'read' | 'readMany' | 'feed' | 'feedStatus' | 'beats'>;

/**
 * Runs `read` on one region's replica, the first that works: every call within it goes there, index reads included.
 * When it fails for a reason that another region does not share, or gives undefined (this region cannot say), the next
 * region runs it from the start. Undefined when all that could be asked gave that.
 */
export type AtOneReplica = <T>(read: (store: ReplicaReads, region: string) => Promise<T>) => Promise<T>;

/**
 * A read that fails is answered by the next region within the same call. A write is attempted once a call (PROTOCOL
 * 1.3): its failure steers the next attempt, which has a new stamp, to another region, and so the error is `retryable`
 * even after a timeout, as long as there is another region. What speaks for the own region (beats, feed status, probe) and what reads
 * an index stays with the own replica.
 */
export interface ReplicatedStore extends Store {
  readonly atOneReplica: AtOneReplica;
  /** The own region's, as it was given. */
  readonly own: Store;
}

/**
 * What the end of a call says about its region. `plain`: an answer that it works, a failure that it does not. `bulky`:
 * how long it took, or that time was up, may be its size. `index`: an answer says nothing, since a region that is cut
 * off from the others still answers from its frozen index.
 */
type Evidence = 'plain' | 'bulky' | 'index';

const LIMITS = { reads: READ_CIRCUIT, writes: WRITE_CIRCUIT } as const;

export function createReplicatedStore({
  replicas,
  now,
  onElsewhere,
  onAvoided,
}: ReplicatedStoreOptions): ReplicatedStore {
  const own = replicas[0]?.store;
  if (!own) throw new RangeError("replicas: expected the own region's, and then others; got none");
  const health: ReplicaHealth[] = replicas.map(() => HEALTHY);
  const regionAt = (at: number) => (replicas[at] as Replica).region;
  const healthAt = (at: number) => health[at] as ReplicaHealth;

  function learn(at: number, kind: CallKind, circuit: Circuit, why: string): void {
    const before = healthAt(at);
    if (circuit === before[kind]) return;
    health[at] = { ...before, [kind]: circuit };
    if (before[kind].state === 'closed' && circuit.state === 'open') onAvoided?.(regionAt(at), kind, why);
  }

  /** One call to one region, from which its circuit learns. */
  async function call<T>(
    at: number,
    kind: CallKind,
    evidence: Evidence,
    run: (store: Store) => Promise<T>,
  ): Promise<T> {
    const { region, store } = replicas[at] as Replica;
    const begun = evidence === 'index' ? healthAt(at)[kind] : begin(healthAt(at)[kind]);
    learn(at, kind, begun, 'a trial');
    const startedAt = now();
    /** `timed`: how long it took counts too. */
    const conclude = (timed: boolean) => {
      const nowMs = now();
      const tookMs = timed ? nowMs - startedAt : 0;
      const next = answered(healthAt(at)[kind], begun.era, { tookMs, nowMs }, LIMITS[kind]);
      learn(at, kind, next, `answers take more than ${LIMITS[kind].slowMs} ms`);
    };
    try {
      const result = await run(store);
      if (evidence !== 'index') conclude(evidence === 'plain');
      if (at > 0) onElsewhere?.(region);
      return result;
    } catch (error) {
      if (!isOutage(error)) {
        if (evidence !== 'index') conclude(false);
      } else if (evidence !== 'bulky' || !isTimeout(error) || begun.state === 'trial') {
        learn(at, kind, failed(healthAt(at)[kind], begun.era, now(), LIMITS[kind]), error.message);
        if (kind === 'writes') learn(at, 'reads', doubted(healthAt(at).reads, now()), error.message);
      }
      throw error;
    }
  }

  /** Asks region after region until one gives an answer; what the last gave when none is. */
  async function anywhere<T>(
    ask: (at: number) => Promise<T>,
    isAnswer: (said: T) => boolean = () => true,
  ): Promise<T> {
    const tried: number[] = [];
    let unsure: { readonly said: T } | undefined;
    let failure: unknown;
    for (let at = chooseReplica(health, 'reads', now()); at !== undefined; ) {
      try {
        const said = await ask(at);
        if (isAnswer(said)) return said;
        unsure = { said };
      } catch (error) {
        if (!canBeMendedElsewhere(error)) throw error;
        failure = inRegion(regionAt(at), error, error.retryable);
      }
      tried.push(at);
      at = chooseReplica(health, 'reads', now(), tried);
    }
    if (unsure) return unsure.said;
    throw failure;
  }

  function reading<T>(run: (store: Store) => Promise<T>, evidence: Evidence = 'plain'): Promise<T> {
    return anywhere((at) => call(at, 'reads', evidence, run));
  }

  async function writing<T>(run: (store: Store) => Promise<T>): Promise<T> {
    const at = chooseReplica(health, 'writes', now()) ?? 0;
    try {
      return await call(at, 'writes', 'plain', run);
    } catch (error) {
      if (!isOutage(error)) throw error;
      // The next attempt goes elsewhere, so it is worth its while even after a timeout.
      throw inRegion(regionAt(at), error, error.retryable || replicas.length > 1);
    }
  }

  const views = replicas.map(
    (_, at): ReplicaReads => ({
      read: (key) => call(at, 'reads', 'plain', (store) => store.read(key)),
      readMany: (keys, bytesMax) => call(at, 'reads', 'bulky', (store) => store.readMany(keys, bytesMax)),
      feed: (query) => call(at, 'reads', 'index', (store) => store.feed(query)),
      feedStatus: (region) => call(at, 'reads', 'plain', (store) => store.feedStatus(region)),
      beats: () => call(at, 'reads', 'index', (store) => store.beats()),
    }),
  );

  return {
    ...own,
    own,
    write: (write) => writing((store) => store.write(write)),
    decide: (decision) => writing((store) => store.decide(decision)),
    trim: (key, commitVersion, outbox) => writing((store) => store.trim(key, commitVersion, outbox)),
    sweep: (tombstone) => writing((store) => store.sweep(tombstone)),
    read: (key) => reading((store) => store.read(key)),
    readMany: (keys, bytesMax) => reading((store) => store.readMany(keys, bytesMax), 'bulky'),
    generation: () => reading((store) => store.generation()),
    routing: () => reading((store) => store.routing()),
    feedStatus: (region) => reading((store) => store.feedStatus(region)),
    atOneReplica: (read) =>
      anywhere(
        (at) => read(views[at] as ReplicaReads, regionAt(at)),
        (said) => said !== undefined,
      ),
  };
}

/** No answer, or one that says the region does not work. A refusal (busy, another region writes the same item) is not. */
function isOutage(error: unknown): error is StoreUnavailableError {
  return error instanceof StoreUnavailableError && error.mayHaveLanded;
}

function isTimeout({ retryable, mayHaveLanded }: StoreUnavailableError): boolean {
  return mayHaveLanded && !retryable;
}

/** Anything but what is ours: permissions, a missing table, a malformed call. */
function canBeMendedElsewhere(error: unknown): error is StoreUnavailableError {
  return error instanceof StoreUnavailableError && (error.retryable || error.mayHaveLanded);
}

function inRegion(region: string, error: StoreUnavailableError, retryable: boolean): StoreUnavailableError {
  const { mayHaveLanded } = error;
  return new StoreUnavailableError(`${region}: ${error.message}`, { retryable, mayHaveLanded, cause: error });
}
