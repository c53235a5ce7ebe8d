// Who is active, how that came, and what the observers see (DESIGN §4): the routing item and the observers' reports, as
// functions and operators' commands read and write them. Times are Unix ms.

/** What stands under {@link ROUTING_KEY}. No item: nothing ever changed, and the primary region is active. */
export interface RoutingState {
  readonly activeRegion: string;
  /** Raised by every change to max(epoch + 1, now): it never runs backwards, not even after a restore from nothing. */
  readonly epoch: number;
  /** When the active region last changed; a drain leaves it alone. */
  readonly since: number;
  /** Of the latest change, in words. */
  readonly reason: string;
  /** The generation item's when it was written. */
  readonly restoreEpoch: number;
  /** Set while the active region is being left: nothing that must run once starts anywhere, and a primary that is being
   * left says so to DNS and clients before its successor takes over. */
  readonly draining?: { readonly to: string; readonly since: number };
  /** The latest first, at most {@link ROUTING_CHANGES_MAX}; written with the change itself, archived for good in every
   * region's audit bucket ({@link routingChangeKey}). */
  readonly changes: readonly RoutingChange[];
}

export interface RoutingChange {
  readonly epoch: number;
  readonly at: number;
  readonly what: 'drain' | 'drain_given_up' | 'move';
  readonly from: string;
  readonly to: string;
  readonly by: 'observers' | 'operator';
  readonly reason: string;
  /** Those that decided; empty for an operator's. */
  readonly votes: readonly Vote[];
  /** An operator's who overrode a refusal. */
  readonly forced: boolean;
  readonly restoreEpoch: number;
}

/** An observer's, for leaving a region. */
export interface Vote {
  readonly observer: string;
  readonly against: string;
  /** Of the routing state it was cast under, 0 where there was none: a change voids it. */
  readonly epoch: number;
  readonly at: number;
  /** The region could not even be reached: refused, reset, no such name. */
  readonly emergency: boolean;
  readonly why: string;
}

/** What stands under {@link observerKey}: an observer's latest look at the serving regions. */
export interface ObserverReport {
  readonly observer: string;
  /** Start of the slot it is of: a second look in one slot counts once. Of a look at once, on another's emergency, the
   * moment within the slot. */
  readonly slotMs: number;
  readonly at: number;
  /** By serving region. */
  readonly watched: Readonly<Record<string, Watched>>;
  /** Why it has no vote now, e.g. because its own control probe failed. */
  readonly abstains?: string;
  readonly vote?: Vote;
}

export interface Watched {
  /** Slots in a row, this one included, in which it was not ready; a slot without a look ends the row. */
  readonly failures: number;
  /** When the row began, or when it was first found ready again. */
  readonly since: number;
  readonly why: string;
}

/** What a change is told by; {@link nextRouting} adds the rest. */
export type RoutingStep = Omit<RoutingChange, 'epoch' | 'at' | 'restoreEpoch'>;

/** In the routing item. Far more than a hold-down lets happen before all are archived. */
export const ROUTING_CHANGES_MAX = 20;

export const ROUTING_CHANGES_PREFIX = 'routing/';

/** Of a change in every region's audit bucket, its JSON text; the epoch makes it unique. */
export function routingChangeKey({ epoch }: Pick<RoutingChange, 'epoch'>): string {
  return `${ROUTING_CHANGES_PREFIX}${String(epoch).padStart(15, '0')}.json`;
}

/** Of a reason; what is longer is cut, so that the item stays far below DynamoDB's 400 KB. */
export const ROUTING_REASON_CHARS_MAX = 500;

/**
 * The state after a change of `previous`, to be written under the condition that `previous` still stands. A move ends
 * whatever drain was under way.
 * @throws {RangeError} the step does not start from the active region, goes nowhere, or gives up a drain that is none
 */
export function nextRouting(
  previous: RoutingState | undefined,
  step: RoutingStep,
  { nowMs, restoreEpoch }: { readonly nowMs: number; readonly restoreEpoch: number },
): RoutingState {
  const { what, from, to } = step;
  const active = previous?.activeRegion ?? from;
  if (from !== active)
    throw new RangeError(
      `a ${what} of the routing state: expected it from the active region ${active}, got ${from}; read the state again`,
    );
  if (to === from)
    throw new RangeError(`a ${what} of the routing state: expected another region than ${from}, got ${to}`);
  if (what === 'drain_given_up' && previous?.draining?.to !== to)
    throw new RangeError(
      `a drain given up: expected one towards ${to}, got ${previous?.draining?.to ?? 'none'}; read the state again`,
    );
  const reason = step.reason.slice(0, ROUTING_REASON_CHARS_MAX);
  const epoch = Math.max((previous?.epoch ?? 0) + 1, nowMs);
  const change: RoutingChange = { ...step, reason, epoch, at: nowMs, restoreEpoch };
  return {
    activeRegion: what === 'move' ? to : active,
    epoch,
    since: what === 'move' ? nowMs : (previous?.since ?? 0),
    reason,
    restoreEpoch,
    ...(what === 'drain' && { draining: { to, since: nowMs } }),
    changes: [change, ...(previous?.changes ?? [])].slice(0, ROUTING_CHANGES_MAX),
  };
}
