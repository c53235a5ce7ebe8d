// Small histories for the checker's tests: builders of what a sync drill records, and one whole history as it should be.
import { type AuditEntry, auditText, CHAIN_START } from '../../protocol/audit.ts';
import { type Version, versionOf } from '../../protocol/versions.ts';
import { checkHistory, type Rule } from '../../rehearsal/drills/checker.ts';
import type {
  DeviceEnd,
  Held,
  Logged,
  LoggedState,
  Made,
  Mark,
  Read,
  Sent,
  SyncHistory,
} from '../../rehearsal/drills/sync/history.ts';
import { sha256 } from '../../rehearsal/drills/sync/keep.ts';

export const KEY = 'notes/n1';
const EAST = 'aaaaaaaaaaaaaaaa';
export const WEST = 'bbbbbbbbbbbbbbbb';
const NO_AUDIT = { sequence: 0, head: CHAIN_START };

/** @param ms of the clock, which is also when it is made, sent and answered */
export const version = (ms: number, maker = EAST): Version => versionOf({ ms, counter: 0 }, maker);
export const mark = (by: string, n: number): Mark => ({ by, n });

export function made(by: string, n: number, over: Partial<Made> = {}): Made {
  return { by, n, key: KEY, acknowledgedAt: n, ...over };
}

/** Sent at `ms`, answered `applied` 10 ms later by the east, unless said otherwise. */
export function sent(by: string, n: number, ms: number, over: Partial<Sent> = {}): Sent {
  const own = version(ms, by === 'west' ? WEST : EAST);
  return {
    by,
    n,
    key: KEY,
    session: by,
    sequence: n,
    version: own,
    region: 'us-east-2',
    sentAt: ms,
    answer: { at: ms + 10, verdict: 'applied', version: own },
    ...over,
  };
}

export function logged(
  order: number,
  of: Version | undefined,
  before: Version | undefined,
  over: Partial<LoggedState> = {},
): Logged {
  return {
    order,
    at: 0,
    key: KEY,
    ...(before === undefined ? {} : { before }),
    ...(of === undefined ? {} : { after: { version: of, audit: NO_AUDIT, outbox: [], ...over } }),
  };
}

export function read(from: number, to: number, seen: Version | undefined): Read {
  return { key: KEY, region: 'us-west-2', from, to, ...(seen === undefined ? {} : { version: seen }) };
}

export function device(name: string, held: Held | undefined, over: Partial<DeviceEnd> = {}): DeviceEnd {
  return { name, pending: 0, quarantined: [], held: new Map(held ? [[KEY, held]] : []), ...over };
}

/**
 * The east edits twice, at 100 and 200; the west, knowing nothing, at 150, and its edit loses the vote that it meets at
 * 300. Everybody ends with the east's second edit.
 */
export function whole(over: Partial<SyncHistory> = {}): SyncHistory {
  const first = version(100);
  const second = version(200);
  const lost = version(150, WEST);
  const text = auditText(entry(1, CHAIN_START, lost, second));
  const trail = { sequence: 1, head: sha256(text) };
  const end = { version: second, mark: mark('east', 2) };
  return {
    made: [made('east', 1), made('east', 2), made('west', 1)],
    sent: [
      sent('east', 1, 100),
      sent('east', 2, 200, { base: first }),
      sent('west', 1, 150, { sentAt: 300, answer: { at: 310, verdict: 'superseded', version: second } }),
    ],
    reads: [read(50, 60, undefined), read(120, 130, first), read(205, 215, second)],
    log: [
      logged(1, first, undefined, { mark: mark('east', 1) }),
      logged(2, second, first, { mark: mark('east', 2) }),
      // The decision, then the trimming of its outbox.
      logged(3, second, second, { mark: mark('east', 2), audit: trail, outbox: [text] }),
      logged(4, second, second, { mark: mark('east', 2), audit: trail }),
    ],
    table: new Map([[KEY, end]]),
    devices: [device('east', end), device('west', end)],
    cuts: [],
    ...over,
  };
}

export function entry(
  sequence: number,
  previous: string,
  lost: Version,
  stored: Version,
  over: Partial<AuditEntry> = {},
): AuditEntry {
  return {
    record: { tenant: 't', collection: 'notes', id: 'n1' },
    sequence,
    previous,
    at: 300,
    region: 'us-east-2',
    outcome: 'stored',
    votes: [],
    incoming: { version: lost, deleted: false, sha256: 'x', session: 'west', sequence: 1 },
    stored: { version: stored, deleted: false, sha256: 'y', commitVersion: stored },
    lost: JSON.stringify({ by: 'west', n: 1 }),
    ...over,
  };
}

export const rules = (history: SyncHistory): readonly Rule[] => [
  ...new Set(checkHistory(history, sha256).findings.map(({ rule }) => rule)),
];

/** The whole history with its log replaced; the table ends as the log does. */
export function withLog(log: readonly Logged[], over: Partial<SyncHistory> = {}): SyncHistory {
  const end = log.at(-1)?.after;
  const held = end && { version: end.version, ...(end.mark ? { mark: end.mark } : {}) };
  return whole({
    log,
    table: new Map(held ? [[KEY, held]] : []),
    devices: held ? [device('east', held)] : [],
    reads: [],
    ...over,
  });
}
