// What a drill may have seen of the system's decisions, planted: `east` is broken a million ms into the epoch, revived a
// minute later, and the drill ends a minute after that. With how a line of the table is judged.
import type { RoutingChange } from '../../protocol/routing.ts';
import type { Look, Ordered, Seen } from '../../rehearsal/drills/failover/seen.ts';
import { keeps, type Line } from '../../rehearsal/drills/lines.ts';

export const FAULT = 1_000_000;
export const REVIVED = FAULT + 60_000;
export const END = FAULT + 120_000;

export function look(afterMs: number, over: Partial<Look> = {}): Look {
  return { at: FAULT + afterMs, leadsTo: 'east', health: { east: 'ok', west: 'ok' }, paging: [], ...over };
}

export function change(afterMs: number, over: Partial<RoutingChange> = {}): RoutingChange {
  const at = FAULT + afterMs;
  return {
    epoch: at,
    at,
    what: 'move',
    from: 'east',
    to: 'west',
    by: 'observers',
    reason: 'three failed',
    votes: [],
    forced: false,
    restoreEpoch: 0,
    ...over,
  };
}

export function order(command: Ordered['command'], afterMs: number, code: number | null, said = ''): Ordered {
  const at = FAULT + afterMs;
  return { command, args: [], at, endedAt: at + 5_000, code, said };
}

export function seen(over: Partial<Seen> = {}): Seen {
  return {
    region: 'east',
    other: 'west',
    observers: ['east', 'west', 'third'],
    faultAt: FAULT,
    revivedAt: REVIVED,
    revivals: [REVIVED],
    endedAt: END,
    history: [],
    looks: [],
    changes: [],
    orders: [],
    ...over,
  };
}

export const passed = (line: Line | undefined) => line?.promise !== undefined && keeps(line.promise);
/** Of several lines, which keep their promises; those that promise nothing are left out. */
export const verdictsOf = (lines: readonly Line[]) =>
  lines.flatMap((it) => (it.promise ? [keeps(it.promise)] : []));
