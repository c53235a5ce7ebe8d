// Which scratch tables a Region may have left: each is noted before it is made and struck off once it is deleted, so that
// one whose verification died, or was overtaken by another export, is deleted all the same.
import type { ScratchTables } from './store/scratch-table.ts';
import type { VerificationLog } from './store/verification-items.ts';
import type { Telemetry } from './telemetry.ts';

interface Noted {
  readonly table: string;
  /** Of the backup it is for. */
  readonly prefix: string;
}

export interface ScratchLedgerParts {
  readonly region: string;
  readonly log: VerificationLog;
  readonly tables: Pick<ScratchTables, 'drop'>;
  readonly telemetry: Telemetry;
}

export interface ScratchLedger {
  /** False: somebody else wrote at the same time, and the table must not be made. */
  note(table: string, prefix: string): Promise<boolean>;
  /** Deletes those of backups that are not wanted any more. Rejects when one could not be; the others are. */
  sweep(isWanted: (prefix: string) => boolean): Promise<void>;
}

export function createScratchLedger({ region, log, tables, telemetry }: ScratchLedgerParts): ScratchLedger {
  const what = `${region}#scratch`;

  async function load() {
    const { revision, state } = await log.load(what);
    return { revision, noted: state === undefined ? [] : (JSON.parse(state) as readonly Noted[]) };
  }

  function save(revision: number, noted: readonly Noted[]): Promise<boolean> {
    return log.save(what, {
      revision: revision + 1,
      state: noted.length === 0 ? undefined : JSON.stringify(noted),
    });
  }

  return {
    async note(table, prefix) {
      const { revision, noted } = await load();
      if (noted.some((it) => it.table === table)) return true;
      return save(revision, [...noted, { table, prefix }]);
    },

    async sweep(isWanted) {
      const { revision, noted } = await load();
      const failures: unknown[] = [];
      const left: Noted[] = [];
      for (const it of noted)
        if (isWanted(it.prefix)) left.push(it);
        else
          try {
            await tables.drop(it.table);
          } catch (error) {
            telemetry.error('a scratch table could not be deleted', error, { table: it.table });
            failures.push(error);
            left.push(it);
          }
      // Whoever wrote in between strikes it off the next time: deleting one that is gone does no harm.
      if (left.length < noted.length) await save(revision, left);
      if (failures.length > 0) throw new AggregateError(failures, 'not every scratch table could be deleted');
    },
  };
}
