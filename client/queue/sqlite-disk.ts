// The disk of a real client: node:sqlite in WAL mode with synchronous=FULL, so that a commit is one append to the log
// and one fsync. The lock is held as long as the file is open; the WAL index lives in this process, so no other can
// come between. Three small tables and one row of state, no secondary index: nothing two copies of which can disagree.
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { DiskSpace, GroupRow, OutcomeRow, QueueDisk, RecordRow, StateRow, Writes } from './disk.ts';
import {
  type Finding,
  QueueCorruptError,
  QueueDiskError,
  QueueFullError,
  QueueLockedError,
  QueueVersionError,
} from './errors.ts';
import { FORMAT } from './format.ts';
import { LogCopy } from './log-copy.ts';
import { MarkFile, syncDirectory } from './mark-file.ts';
import { ReserveFile, spaceAt } from './reserve-file.ts';

/**
 * A hundred small operations fill five pages of 4 KiB or three of 8, and every page of a commit costs two writes to the
 * log and one out of it. Pages of 16 KiB cost one operation by itself more than they save (`npm run bench -- queue`).
 */
export const PAGE_BYTES = 8192;

/** 'EdF1' */
const APPLICATION_ID = 0x45644631;

const SCHEMA = `
  CREATE TABLE operations (position INTEGER PRIMARY KEY, count INTEGER NOT NULL, session TEXT NOT NULL,
    sequence INTEGER NOT NULL, body TEXT NOT NULL, link TEXT NOT NULL, seal TEXT) STRICT;
  CREATE TABLE outcomes (position INTEGER PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL) STRICT;
  CREATE TABLE records ("row" INTEGER PRIMARY KEY, collection TEXT NOT NULL, id TEXT NOT NULL,
    version TEXT NOT NULL, payload TEXT, seen INTEGER NOT NULL, seal TEXT NOT NULL) STRICT;
  CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL, seal TEXT NOT NULL) STRICT;
`;

// https://sqlite.org/rescode.html. Our statements are fixed: one that no longer fits its tables (ERROR, CONSTRAINT,
// MISMATCH) says that the tables are damaged as surely as CORRUPT, FORMAT and NOTADB do.
const BUSY: readonly number[] = [5, 6];
const FULL = 13;
const DAMAGED: readonly number[] = [1, 11, 19, 20, 24, 26];

/** SQLite's answer to damage, and where to look. 20 findings tell as much as all. */
const FINDINGS_MAX = 20;
/** Free pages worth giving back: fewer are soon used again. */
const FREE_PAGES_KEPT = 500;

export interface SqliteDiskOptions {
  /**
   * Disk space kept back for settling when all else is full, in bytes: the log of 4 MB must fit into it, and a batch.
   * 0 keeps none.
   * @default 8 MiB
   */
  readonly reserveBytes?: number;
  /** Pages of 8 KiB in the log before it is written back into the database. @default 500 */
  readonly logPagesMax?: number;
  /** The most pages of 8 KiB the database may have; for tests of a full disk. @default no limit */
  readonly pagesMax?: number;
}

/**
 * Opens or makes a queue file, with `<path>-mark` and `<path>-reserve` beside it.
 * @throws QueueLockedError, QueueVersionError, QueueCorruptError, QueueFullError, QueueDiskError
 */
export function openSqliteDisk(path: string, options: SqliteDiskOptions = {}): QueueDisk {
  return new SqliteDisk(resolve(path), options);
}

class SqliteDisk implements QueueDisk {
  readonly path: string;
  readonly #db: DatabaseSync;
  readonly #mark: MarkFile;
  readonly #reserve: ReserveFile;
  readonly #log: LogCopy;
  readonly #pragmas: string;
  /** Undefined until there are tables: the first commit makes them. */
  #statements: Statements | undefined;

  constructor(
    path: string,
    { reserveBytes = 8 * 1024 ** 2, logPagesMax = 500, pagesMax }: SqliteDiskOptions,
  ) {
    this.path = path;
    this.#pragmas =
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; ' +
      `PRAGMA wal_autocheckpoint = ${logPagesMax}; ` +
      (pagesMax === undefined ? '' : `PRAGMA max_page_count = ${pagesMax}`);
    this.#reserve = new ReserveFile(`${path}-reserve`, reserveBytes);
    this.#log = new LogCopy(path);
    this.#run('its log cannot be put back', () => this.#log.putBackIfLost());
    this.#db = this.#run('it cannot be opened', () => new DatabaseSync(path));
    try {
      this.#run('it cannot be opened', () => this.#lockAndCheck());
      this.#mark = this.#run('its mark cannot be opened', () => new MarkFile(`${path}-mark`));
    } catch (error) {
      this.#db.close();
      if (!(error instanceof QueueLockedError)) this.#log.putBack();
      throw error;
    }
  }

  readState(): StateRow | undefined {
    return this.#read('its state', (statements) => statements.readState.get()) as StateRow | undefined;
  }

  readGroups(): Iterable<GroupRow> {
    return this.#rows<GroupRow>('readGroups');
  }

  readOutcomes(): Iterable<OutcomeRow> {
    return this.#rows<OutcomeRow>('readOutcomes');
  }

  readRecords(): Iterable<RecordRow> {
    return this.#rows<RecordRow>('readRecords');
  }

  readGroup(position: number): GroupRow | undefined {
    return this.#read(`operation ${position}`, ({ readGroup }) => readGroup.get(position)) as
      | GroupRow
      | undefined;
  }

  readRecord(row: number): RecordRow | undefined {
    return this.#read(`record ${row}`, ({ readRecord }) => readRecord.get(row)) as RecordRow | undefined;
  }

  get isTight(): boolean {
    return !this.#reserve.isHeld;
  }

  commit(writes: Writes, urgent: boolean): void {
    if (!urgent && !this.#reserve.take())
      throw new QueueFullError('disk', `${dirname(this.path)} has no room left to keep in reserve`);
    try {
      this.#transaction(writes);
    } catch (error) {
      if (!(urgent && error instanceof QueueFullError && this.#reserve.release())) throw error;
      // The log can be emptied now, which gives its room back as well.
      this.#run('a checkpoint failed', () => this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)'));
      this.#transaction(writes);
    }
  }

  readMark(): readonly string[] {
    return this.#mark.read();
  }

  writeMark(slot: number, text: string, durable: boolean): void {
    this.#run('the mark cannot be written', () => this.#mark.write(slot, text, durable));
  }

  check(): readonly Finding[] {
    const rows = this.#run('it cannot be checked', () =>
      this.#db.prepare(`PRAGMA quick_check(${FINDINGS_MAX})`).all(),
    );
    return rows
      .map((row) => String(Object.values(row)[0]))
      .filter((what) => what !== 'ok')
      .map((what) => ({ where: 'pages', what }));
  }

  accept(): void {
    this.#run('the copy of its log cannot be removed', () => this.#log.drop());
  }

  shrink(): void {
    this.#run('free pages cannot be given back', () => {
      if (this.#number('PRAGMA freelist_count') > FREE_PAGES_KEPT) this.#db.exec('PRAGMA incremental_vacuum');
    });
  }

  space(): DiskSpace | undefined {
    return spaceAt(dirname(this.path));
  }

  close(): void {
    this.#mark.close();
    this.#db.close();
    this.#log.putBack();
  }

  #lockAndCheck(): void {
    // The lock is taken by the first transaction and kept. Only a new file may be written to: an old one may be
    // damaged, and these two count in a new one alone.
    this.#db.exec('PRAGMA locking_mode = EXCLUSIVE');
    if (statSync(this.path).size === 0)
      this.#db.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL`);
    this.#db.exec('BEGIN EXCLUSIVE; COMMIT');
    this.#log.take();
    const format = this.#number('PRAGMA user_version');
    if (format > FORMAT) throw new QueueVersionError(this.path, FORMAT, format);
    if (this.#number('SELECT count(*) FROM sqlite_schema') > 0) this.#use();
  }

  #createTables(): void {
    this.#db.exec('PRAGMA journal_mode = WAL');
    this.#db.exec(
      `BEGIN; ${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT}; COMMIT`,
    );
    syncDirectory(dirname(this.path));
    this.#use();
  }

  #use(): void {
    this.#db.exec(this.#pragmas);
    this.#statements = prepare(this.#db);
    this.#reserve.take();
  }

  #number(sql: string): number {
    return Number(Object.values(this.#db.prepare(sql).get() ?? {})[0]);
  }

  #transaction(writes: Writes): void {
    this.#run('a commit failed', () => {
      if (this.#statements === undefined) this.#createTables();
      const statements = this.#statements as Statements;
      statements.begin.run();
      try {
        for (const position of writes.droppedGroups) statements.dropGroup.run(position);
        for (const position of writes.droppedOutcomes) statements.dropOutcomes.run(position);
        for (const row of writes.droppedRecords) statements.dropRecord.run(row);
        for (const { position, count, session, sequence, body, link, seal } of writes.groups)
          statements.putGroup.run(position, count, session, sequence, body, link, seal);
        for (const { position, body, seal } of writes.outcomes)
          statements.putOutcomes.run(position, body, seal);
        for (const { row, collection, id, version, payload, seen, seal } of writes.records)
          statements.putRecord.run(row, collection, id, version, payload, seen, seal);
        statements.putState.run(writes.state.body, writes.state.seal);
        statements.commit.run();
      } catch (error) {
        this.#rollback();
        throw error;
      }
    });
  }

  /** SQLite may have rolled back already; then there is nothing to do. */
  #rollback(): void {
    try {
      this.#db.exec('ROLLBACK');
    } catch (error) {
      if (!/no transaction is active/.test(String(error))) throw error;
    }
  }

  *#rows<Row>(statement: 'readGroups' | 'readOutcomes' | 'readRecords'): Iterable<Row> {
    try {
      for (const row of this.#statements?.[statement].iterate() ?? []) yield row as Row;
    } catch (error) {
      throw this.#named('it cannot be read to the end', error);
    }
  }

  #read<T>(what: string, read: (statements: Statements) => T): T | undefined {
    const statements = this.#statements;
    return statements && this.#run(`${what} cannot be read`, () => read(statements));
  }

  #run<T>(what: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#named(what, error);
    }
  }

  /** SQLite's errors by our names; the file system's are disk errors; our own pass. */
  #named(what: string, error: unknown): Error {
    if (!(error instanceof Error) || !('code' in error)) return error as Error;
    const detail = `${what}: ${error.message}`;
    if (error.code === 'ENOSPC') return new QueueFullError('disk', detail, { cause: error });
    if ('syscall' in error) return new QueueDiskError(this.path, detail, { cause: error });
    if (!('errcode' in error)) return error;
    const code = Number(error.errcode) & 0xff;
    if (BUSY.includes(code)) return new QueueLockedError(this.path, { cause: error });
    if (code === FULL) return new QueueFullError('disk', detail, { cause: error });
    return DAMAGED.includes(code)
      ? new QueueCorruptError(this.path, [{ where: 'pages', what: detail }], { cause: error })
      : new QueueDiskError(this.path, detail, { cause: error });
  }
}

type Statements = ReturnType<typeof prepare>;

function prepare(db: DatabaseSync) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    readState: db.prepare('SELECT body, seal FROM state'),
    readGroups: db.prepare('SELECT * FROM operations ORDER BY position'),
    readOutcomes: db.prepare('SELECT * FROM outcomes ORDER BY position'),
    readRecords: db.prepare('SELECT * FROM records ORDER BY "row"'),
    readGroup: db.prepare('SELECT * FROM operations WHERE position = ?'),
    readRecord: db.prepare('SELECT * FROM records WHERE "row" = ?'),
    putGroup: db.prepare('INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?, ?, ?, ?)'),
    putOutcomes: db.prepare('INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)'),
    putRecord: db.prepare('INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)'),
    putState: db.prepare('INSERT OR REPLACE INTO state VALUES (1, ?, ?)'),
    dropGroup: db.prepare('DELETE FROM operations WHERE position = ?'),
    dropOutcomes: db.prepare('DELETE FROM outcomes WHERE position = ?'),
    dropRecord: db.prepare('DELETE FROM records WHERE "row" = ?'),
  };
}
