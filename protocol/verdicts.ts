// What the server says of one operation. `applied`, `duplicate`, `superseded` and `rejected` settle it;
// `deferred` and `clock_ahead` mean nothing was written: send it again (PROTOCOL 3, 4, 5.3).
import type { Version } from './versions.ts';

export const REJECTED_REASONS = ['invalid', 'too_large', 'not_allowed', 'too_old'] as const;
export type RejectedReason = (typeof REJECTED_REASONS)[number];

export const DEFERRED_REASONS = [
  /** An earlier operation of this batch on the same key is not settled. */
  'predecessor',
  /** The replicas did not give two equal votes. */
  'no_quorum',
  /** The store refused or did not answer; whether the write landed is found out on the next send. */
  'store_unavailable',
] as const;
export type DeferredReason = (typeof DEFERRED_REASONS)[number];

interface VerdictBase {
  readonly session: string;
  readonly sequence: number;
}

export type Verdict = VerdictBase &
  (
    | { readonly verdict: 'applied'; readonly version: Version }
    /** Settled before; `version` is what is stored now, which may be a later edit. */
    | { readonly verdict: 'duplicate'; readonly version: Version }
    /** Lost the vote; `version` is what is stored. The losing payload is in the audit log. */
    | { readonly verdict: 'superseded'; readonly version: Version }
    | { readonly verdict: 'deferred'; readonly reason: DeferredReason }
    | { readonly verdict: 'rejected'; readonly reason: RejectedReason; readonly detail: string }
    /** `serverTimeMs` to correct the clock by; `version` is what is stored, where that is what is ahead. */
    | { readonly verdict: 'clock_ahead'; readonly serverTimeMs: number; readonly version?: Version }
  );

export type VerdictName = Verdict['verdict'];
