// What a drill and the process of one of its devices say to each other over Node's IPC channel.
import type {
  Degradation,
  FlushResult,
  PullResult,
  SyncCounts,
  SyncProgress,
} from '../../../client/index.ts';
import type { EditPlan } from './edits.ts';
import type { Held, Mark } from './history.ts';

/** First argument of `rehearsal/device.ts`, as JSON. */
export interface DeviceOptions {
  readonly name: string;
  /** The queue file. */
  readonly path: string;
  /** The preferred region first. */
  readonly endpoints: readonly string[];
  readonly token: string;
  readonly plan: EditPlan;
  /** Unix ms that its clock stands at; it runs from there. @default the machine's own time */
  readonly clockMs?: number;
  /** It pulls by itself so often. @default never */
  readonly pullIntervalMs?: number;
  /** Off only to show that a drill then fails. */
  readonly fallback: boolean;
  readonly silenceDetection: boolean;
}

export interface MakeOrder {
  /** Numbers of the edits, both included. */
  readonly from: number;
  readonly to: number;
  /** So many at once, one group after the other, as fast as they become durable; or at a steady pace a second. */
  readonly how: { readonly atOnce: number } | { readonly perSecond: number };
  /** The device's clock goes evenly through this time meanwhile, Unix ms; it stays that far behind the machine's. */
  readonly clock?: { readonly fromMs: number; readonly toMs: number };
}

export type Order =
  | ({ readonly type: 'make' } & MakeOrder)
  /** No further edits; `make` is over then. */
  | { readonly type: 'stopMaking' }
  | { readonly type: 'flush'; readonly withinMs: number }
  | { readonly type: 'pull'; readonly withinMs: number }
  /** At all records of these collections. */
  | { readonly type: 'look'; readonly collections: readonly string[] }
  | { readonly type: 'close' };

export type ToDevice = Order & { readonly id: number };

/** What it holds and what waits on it. */
export interface Look {
  readonly pending: number;
  readonly quarantined: readonly Mark[];
  readonly held: readonly (readonly [key: string, held: Held])[];
  readonly counts: SyncCounts;
}

/** The answer to each kind of order. */
export interface Answers {
  /** How many edits became durable, and how long that took. */
  readonly make: { readonly acknowledged: number; readonly elapsedMs: number; readonly slowestMs: number };
  readonly stopMaking: null;
  readonly flush: FlushResult;
  readonly pull: PullResult;
  readonly look: Look;
  readonly close: null;
}

export type FromDevice =
  | { readonly type: 'ready'; readonly recovered: number; readonly openedInMs: number }
  /** These became durable; sent right after. */
  | { readonly type: 'acknowledged'; readonly from: number; readonly to: number; readonly at: number }
  | { readonly type: 'progress'; readonly at: number; readonly progress: SyncProgress }
  | { readonly type: 'conflict'; readonly at: number; readonly key: string }
  | { readonly type: 'recovered'; readonly at: number; readonly operations: number; readonly because: string }
  | {
      readonly type: 'degraded';
      readonly at: number;
      readonly because: Degradation['because'];
      readonly detail: string;
    }
  /** Something an application would have seen go wrong: a rejected promise, or a quarantined edit. */
  | { readonly type: 'trouble'; readonly at: number; readonly what: string }
  | { readonly type: 'done'; readonly id: number; readonly answer: Answers[Order['type']] }
  /** The order cannot be carried out; told as trouble too. */
  | { readonly type: 'undone'; readonly id: number; readonly why: string };
