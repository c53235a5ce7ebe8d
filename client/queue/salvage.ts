// Reads what rows it can from a damaged database, one by one where a scan breaks off. Judges nothing but readability.
import { DatabaseSync } from 'node:sqlite';
import type { GroupRow, OutcomeRow, RecordRow, StateRow } from './disk.ts';
import type { Finding } from './errors.ts';

export interface Salvage {
  readonly state: StateRow | undefined;
  /** In order of position. */
  readonly groups: readonly GroupRow[];
  readonly outcomes: ReadonlyMap<number, OutcomeRow>;
  readonly records: readonly RecordRow[];
  /** Tables that could not be read to the end. */
  readonly unreadable: readonly Finding[];
}

/** Where a scan breaks off, it is tried again from behind; what neither reaches is looked up by key, so many keys on. */
const LOOK_UPS_MAX = 1_000_000;

export function salvageRows(path: string): Salvage {
  const unreadable: Finding[] = [];
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    const [state] = readTable<StateRow>(db, 'state', 'one', unreadable);
    const groups = readTable<GroupRow>(db, 'operations', 'position', unreadable);
    const outcomes = readTable<OutcomeRow>(db, 'outcomes', 'position', unreadable);
    const records = readTable<RecordRow>(db, 'records', 'row', unreadable);
    return {
      state,
      groups: groups.filter(isWhole),
      outcomes: new Map(outcomes.map((row) => [row.position, row])),
      records,
      unreadable,
    };
  } catch (error) {
    unreadable.push({ where: 'pages', what: messageOf(error) });
    return { state: undefined, groups: [], outcomes: new Map(), records: [], unreadable };
  } finally {
    db?.close();
  }
}

/** Rows by key, ascending; each once. */
function readTable<Row>(db: DatabaseSync, table: string, key: string, unreadable: Finding[]): Row[] {
  const rows = new Map<number, Row>();
  const scan = (order: 'ASC' | 'DESC'): boolean => {
    try {
      for (const row of db.prepare(`SELECT * FROM ${table} ORDER BY "${key}" ${order}`).iterate())
        rows.set(Number(row[key]), row as Row);
      return true;
    } catch (error) {
      if (order === 'ASC') unreadable.push({ where: table, what: messageOf(error) });
      return false;
    }
  };
  if (!scan('ASC') && !scan('DESC')) lookUp(db, table, key, rows);
  return [...rows].sort(([a], [b]) => a - b).map(([, row]) => row);
}

/** Keys between those the scans reached from both ends. */
function lookUp<Row>(db: DatabaseSync, table: string, key: string, rows: Map<number, Row>): void {
  const highest = Math.max(0, ...rows.keys());
  for (let at = 1; at <= Math.min(highest, LOOK_UPS_MAX); at++) {
    if (rows.has(at)) continue;
    try {
      const row = db.prepare(`SELECT * FROM ${table} WHERE "${key}" = ?`).get(at);
      if (row !== undefined) rows.set(at, row as Row);
    } catch {
      // On a damaged page, like its neighbours; what is missing is listed by whoever counts the positions.
    }
  }
}

function isWhole(row: GroupRow): boolean {
  return Number.isSafeInteger(row.position) && Number.isSafeInteger(row.count) && row.count > 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
