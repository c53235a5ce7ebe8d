// SQLite writes what it accepts of its log into the database when it closes, and removes the log: with a damaged one,
// all behind the damage would be gone before anyone could save it. So a log that a crash left is copied before the
// file is proved, and put back when it was not.
import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';

export class LogCopy {
  readonly #log: string;
  readonly #copy: string;

  constructor(path: string) {
    this.#log = `${path}-wal`;
    this.#copy = `${path}-wal-copy`;
  }

  /** Where a log is that counts; undefined when there is none. */
  static of(path: string): string | undefined {
    return [`${path}-wal`, `${path}-wal-copy`].find((log) => existsSync(log));
  }

  /** With the lock held and nothing written yet. */
  take(): void {
    if (existsSync(this.#log)) copyFileSync(this.#log, this.#copy);
  }

  /** The file is proved; before anything is written to it. */
  drop(): void {
    rmSync(this.#copy, { force: true });
  }

  /** Before the database is opened: the process that should have put it back was killed. Others may be at work. */
  putBackIfLost(): void {
    if (existsSync(this.#copy) && !existsSync(this.#log)) renameSync(this.#copy, this.#log);
  }

  /** With the database closed. A copy is there only while the file is not proved. */
  putBack(): void {
    this.putBackIfLost();
    this.drop();
  }
}
