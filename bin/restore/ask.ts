// What an operator asks of `npm run restore`, out of the arguments.
import { parseArgs } from 'node:util';
import { backupOfKey } from '../../protocol/backups.ts';
import {
  COLLECTION_PATTERN,
  RECORD_ID_PATTERN,
  type RecordKey,
  TENANT_PATTERN,
} from '../../protocol/names.ts';
import type { Scope } from '../../protocol/restoring.ts';
import { reasonIn } from '../routing/operator.ts';
import { WHERE_OPTIONS, WHERE_USAGE, type WhereValues } from '../routing/where.ts';

export const USAGE = `npm run restore -- --record TENANT/COLLECTION/ID... | --tenant TENANT | --at TIME | --all  --reason "…"
npm run restore -- --resume            goes on with one that was killed
npm run restore -- --give-up --reason "…"   opens the table as far as one that was killed has come
  --record    this record; repeatable. With --at as it was then, else its latest state
  --tenant    all records of a tenant, likewise
  --at        all records as they were at this time, such as 2026-11-24T13:00:00Z
  --all       all records, their latest state
  --into      another table than the stage's; --into-region where it is, default the stage's primary Region
  --overwrite also over what is there and whole; what is replaced is kept in the audit buckets
  --backup    this backup and no other, such as daily/2026-11-24/
  --dry-run   reads and weighs everything, and writes nothing
  --workers   into an empty table, for large ones: the restore function near the data reads the full backup, not this machine
  --here      with --resume: what is left of a restore by workers is read from here
  --lanes     writes at once from here, 1 to 50; default 16
  --reason    why, in words: it stands in every Region's audit bucket
  --force     with what is not verified, or although journals have gaps; what was overridden is recorded
  --yes       do not ask
  --json      a line of JSON a step, the last one with "step":"end"
${WHERE_USAGE}
Exit code: 0 done or nothing to do, 1 refused or not all of it, 2 could not run, 130 interrupted.`;

/** What is restored, and how: kept with the restore, so that one that goes on does the same. */
export interface Ask {
  readonly scope: Scope;
  /** Unix ms; undefined: the latest state. */
  readonly atMs?: number;
  readonly into?: string;
  readonly backup?: string;
  readonly overwrite: boolean;
  /** The full backup is read by the restore function of its Region. @default from here */
  readonly workers?: true;
}

export interface Asked {
  readonly what: 'restore' | 'resume' | 'give_up';
  /** Of `restore` only. */
  readonly ask: Ask;
  readonly intoRegion: string | undefined;
  readonly reason: string;
  readonly dryRun: boolean;
  readonly force: boolean;
  /** Of `resume`: nothing is left to workers any more. */
  readonly here: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  readonly lanes: number;
  readonly where: WhereValues;
}

const LANES = { default: '16', max: 50 } as const;

/** @throws {RangeError} what makes no sense; {@link USAGE} says more */
export function askedIn(args: readonly string[], nowMs: number): Asked | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...WHERE_OPTIONS,
      record: { type: 'string', multiple: true },
      tenant: { type: 'string' },
      at: { type: 'string' },
      all: { type: 'boolean', default: false },
      into: { type: 'string' },
      'into-region': { type: 'string' },
      overwrite: { type: 'boolean', default: false },
      backup: { type: 'string' },
      resume: { type: 'boolean', default: false },
      'give-up': { type: 'boolean', default: false },
      'dry-run': { type: 'boolean', default: false },
      workers: { type: 'boolean', default: false },
      here: { type: 'boolean', default: false },
      lanes: { type: 'string', default: LANES.default },
      reason: { type: 'string' },
      force: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { record, tenant, at, all, into, overwrite, backup, resume, force, yes, json, workers, here } =
    values;
  const giveUp = values['give-up'];
  const dryRun = values['dry-run'];
  const intoRegion = values['into-region'];
  const goesOn = resume || giveUp;
  if (resume && giveUp) throw new RangeError('expected one of --resume and --give-up, got both');
  if (
    goesOn &&
    (record ||
      tenant !== undefined ||
      at !== undefined ||
      all ||
      backup !== undefined ||
      overwrite ||
      dryRun ||
      workers)
  )
    throw new RangeError(
      '--resume and --give-up take what the restore was begun with: expected nothing else of it',
    );
  if (here && !resume) throw new RangeError('--here goes with --resume: expected it, got none');
  if (workers && (record || into !== undefined || overwrite || dryRun))
    throw new RangeError(
      '--workers load everything or a tenant into the stage’s own table while it is empty: expected none of --record, --into, --overwrite and --dry-run with it',
    );
  if (intoRegion !== undefined && into === undefined)
    throw new RangeError('--into-region says where --into is, got no --into');
  const scope = goesOn ? ({ kind: 'all' } as const) : scopeIn(record, tenant, all || at !== undefined);
  if (all && at !== undefined)
    throw new RangeError('--all is the latest state, --at an earlier one: expected one of them, got both');
  if (backup !== undefined && backupOfKey(`${backup}x`) === undefined)
    throw new RangeError(`--backup is a prefix such as daily/2026-11-24/, got "${backup}"`);
  const ask: Ask = {
    scope,
    ...(at !== undefined && { atMs: timeIn(at, nowMs) }),
    ...(into !== undefined && { into }),
    ...(backup !== undefined && { backup }),
    overwrite,
    ...(workers && { workers }),
  };
  return {
    what: resume ? 'resume' : giveUp ? 'give_up' : 'restore',
    ask,
    intoRegion,
    // One that goes on has the reason it was begun with.
    reason: (resume || dryRun) && values.reason === undefined ? '' : reasonIn(values.reason),
    dryRun,
    force,
    here,
    yes,
    json,
    lanes: lanesIn(values.lanes),
    where: values,
  };
}

function scopeIn(records: readonly string[] | undefined, tenant: string | undefined, all: boolean): Scope {
  if (records && tenant !== undefined)
    throw new RangeError('expected records or a tenant to be restored, got both');
  if (records) return { kind: 'records', records: records.map(recordIn) };
  if (tenant !== undefined) {
    if (!TENANT_PATTERN.test(tenant)) throw new RangeError(`--tenant is a tenant, got "${tenant}"`);
    return { kind: 'tenant', tenant };
  }
  if (!all)
    throw new RangeError('expected --record, --tenant, --at or --all to say what is restored, got none');
  return { kind: 'all' };
}

function recordIn(text: string): RecordKey {
  const [tenant = '', collection = '', id = '', ...rest] = text.split('/');
  if (
    rest.length > 0 ||
    !TENANT_PATTERN.test(tenant) ||
    !COLLECTION_PATTERN.test(collection) ||
    !RECORD_ID_PATTERN.test(id)
  )
    throw new RangeError(`--record is TENANT/COLLECTION/ID, got "${text}"`);
  return { tenant, collection, id };
}

function timeIn(text: string, nowMs: number): number {
  const atMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isFinite(atMs))
    throw new RangeError(`--at is a time in UTC such as 2026-11-24T13:00:00Z, got "${text}"`);
  if (atMs > nowMs)
    throw new RangeError(
      `--at is a time that has been, got ${text}, now is ${new Date(nowMs).toISOString()}`,
    );
  return atMs;
}

function lanesIn(text: string): number {
  const lanes = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (lanes < 1 || lanes > LANES.max)
    throw new RangeError(`--lanes is a whole number from 1 to ${LANES.max}, got "${text}"`);
  return lanes;
}
