// What somebody asks of `npm run retention`, out of the arguments.
import { parseArgs } from 'node:util';
import { DAY_MS, tickOf } from '../../protocol/backups.ts';
import { STAGE_DEFAULT } from '../supervisor/stage.ts';

export const USAGE = `npm run retention -- [--on DATE] [--from DATE] [--days 365] [--list] [--stage ${STAGE_DEFAULT}]
  --on     which backups there are on this day at noon, e.g. 2027-03-05; default the last one that is played
  --from   the first day: nothing was there before; default so many days before --on, or else today
  --days   how many are played, 1 to 4000
  --list   names every backup of that day
  --stage  whose templates
Exit code: 0 what is kept is what the policy says, 1 it is not, 2 could not run.`;

export interface Asked {
  /** Midnights, Unix ms. */
  readonly fromMs: number;
  readonly onMs: number;
  readonly days: number;
  readonly list: boolean;
  readonly stage: string;
}

const DAYS = { default: '365', max: 4_000 } as const;

/** @throws {RangeError} what makes no sense; {@link USAGE} says more */
export function askedIn(args: readonly string[], nowMs: number): Asked | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      on: { type: 'string' },
      from: { type: 'string' },
      days: { type: 'string', default: DAYS.default },
      list: { type: 'boolean', default: false },
      stage: { type: 'string', default: STAGE_DEFAULT },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { on, from, list, stage } = values;
  const days = /^\d{1,4}$/.test(values.days) ? Number(values.days) : 0;
  if (days < 1 || days > DAYS.max)
    throw new RangeError(`--days is a whole number from 1 to ${DAYS.max}, got "${values.days}"`);
  const named = on === undefined ? undefined : dateIn('--on', on);
  const spanMs = (days - 1) * DAY_MS;
  const fromMs =
    from !== undefined
      ? dateIn('--from', from)
      : named === undefined
        ? tickOf('daily', nowMs)
        : named - spanMs;
  const onMs = named ?? fromMs + spanMs;
  if (onMs < fromMs || onMs > fromMs + spanMs)
    throw new RangeError(
      `--on is a day that is played: expected ${dayText(fromMs)} to ${dayText(fromMs + spanMs)}, got ${dayText(onMs)}`,
    );
  return { fromMs, onMs, days, list, stage };
}

export function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function dateIn(option: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  // Not even 2027-02-30, which some would take for March.
  if (!Number.isFinite(ms) || dayText(ms) !== text)
    throw new RangeError(`${option} is a date such as 2027-03-05, got "${text}"`);
  return ms;
}
