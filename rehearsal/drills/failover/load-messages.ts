// What a drill's runner and its load process say to each other over Node's IPC channel.

import type { DrilledSystem } from '../system.ts';
import type { LoadProfile } from './scenario.ts';

/** First argument of `rehearsal/load.ts`, as JSON. */
export interface LoadOptions {
  /** The preferred region first. */
  readonly endpoints: readonly { readonly region: string; readonly url: string }[];
  readonly token: string;
  readonly profile: LoadProfile;
  readonly seed: number;
  readonly historyFile: string;
  /** Off only to show that a drill then fails. */
  readonly fallback: boolean;
  readonly silenceDetection: boolean;
  /** Whether a client that knows only the failover name works beside the others. */
  readonly dns?: DrilledSystem['dns'];
}

export type ToLoad =
  /** Start nothing more, wait for what is under way, close the history. */
  | { readonly type: 'stop' }
  /** Read every acknowledged write from each endpoint. */
  | { readonly type: 'readBack' };

export type FromLoad =
  | { readonly type: 'ready' }
  | Progress
  | { readonly type: 'stopped' }
  | { readonly type: 'readBackDone'; readonly missing: readonly MissingWrite[]; readonly reads: number }
  | { readonly type: 'failed'; readonly why: string };

/** Every {@link PROGRESS_EVERY_MS}; counts are of that time. */
export interface Progress {
  readonly type: 'progress';
  readonly succeeded: Readonly<Record<string, number>>;
  readonly failed: number;
  /** Of the library client; 0 without an answer. */
  readonly latencyMsP95: number;
  /** Region of the DNS-only client's latest success, if there was one in that time. */
  readonly dnsServedBy?: string;
}

export interface MissingWrite {
  readonly key: string;
  readonly region: string;
  /** What was found in its place. */
  readonly found: string;
}

export const PROGRESS_EVERY_MS = 250;
