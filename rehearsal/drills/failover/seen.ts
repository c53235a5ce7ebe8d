// What a drill saw of the system's own decisions, beside its load: pure facts, with times in Unix ms.
import type { RoutingChange } from '../../../protocol/routing.ts';
import type { OperatorCommand } from '../system.ts';
import type { OperationEntry } from './history.ts';

/** At one moment, about once a second. */
export interface Look {
  readonly at: number;
  /** Active region of the routing state; absent while nothing ever changed, or when it could not be read. */
  readonly active?: string;
  /** Where the failover name leads; absent without one, or without an answer. */
  readonly leadsTo?: string;
  /** What each serving region's `/health` answers its clients. */
  readonly health: Readonly<Record<string, Health>>;
  /** Regions whose observers page. */
  readonly paging: readonly string[];
  /** What their observers' fresh reports say; absent while nobody could read them. */
  readonly reported?: {
    /** Regions whose observers vote to leave the active one. */
    readonly voting: readonly string[];
    readonly abstaining: readonly string[];
  };
}

export type Health = 'ok' | 'evacuated' | 'failing';

/** An operator's command that was run. */
export interface Ordered {
  readonly command: OperatorCommand;
  readonly args: readonly string[];
  readonly at: number;
  readonly endedAt: number;
  readonly code: number | null;
  /** The end of what it said. */
  readonly said: string;
}

export interface Seen {
  /** The region that is left, or is to be kept; and the other one. */
  readonly region: string;
  readonly other: string;
  /** Whose observers could page. */
  readonly observers: readonly string[];
  readonly faultAt: number;
  /** The last revival; absent when nothing was revived. */
  readonly revivedAt?: number;
  /** All of them, the oldest first. */
  readonly revivals: readonly number[];
  /** When the latch in DNS was taken away, and when it was put back; absent when nobody did. */
  readonly latchDisabledAt?: number;
  readonly latchEnabledAt?: number;
  readonly endedAt: number;
  readonly history: readonly OperationEntry[];
  readonly looks: readonly Look[];
  /** Of the routing state, as the table has them in the end, the oldest first. */
  readonly changes: readonly RoutingChange[];
  readonly orders: readonly Ordered[];
  /** When the other region had been found ready twice; null: never; absent when it was not asked. */
  readonly verifiedAt?: number | null;
}
