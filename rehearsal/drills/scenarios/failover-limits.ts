// What failover scenarios expect alike: that nobody is harmed, how soon the observers move, and how long what was left is
// watched when it comes back.
import type { Limits } from '../failover/scenario.ts';

/** Even where clients fail for a while. */
export const NOTHING_LOST: Limits = { acknowledgedWritesLost: 0, staleReads: 0 };
export const NOBODY_HARMED: Limits = { ...NOTHING_LOST, requestsFailed: 0 };

/** Far longer than the observers take, so that one that comes late is still measured. */
export const MOVED_WITHIN_MS = 120_000;
/** Of what comes back or is healed, a process that starts included: it reads the routing state with its first request,
 * and again when the copy that its functions hold for 5 s is too old. */
export const LEARNS_WITHIN_MS = 15_000;
/** Looks enough at what came back to see whether it stays out. */
export const LATCHED_FOR_MS = 20_000;
