// EventBridge Scheduler's expressions: rate(…), cron(…) and at(…), all in UTC.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html

export type ScheduleExpression =
  | { readonly kind: 'rate'; readonly everyMs: number }
  | { readonly kind: 'at'; readonly atMs: number }
  | ({ readonly kind: 'cron' } & Cron);

/** The values each field allows; undefined allows all. */
interface Cron {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  /** `last` is the month's last day. */
  readonly daysOfMonth: ReadonlySet<number> | 'last' | undefined;
  /** 1 is January. */
  readonly months: ReadonlySet<number>;
  /** 1 is Sunday. */
  readonly daysOfWeek: ReadonlySet<number> | undefined;
  readonly years: ReadonlySet<number> | undefined;
}

const UNIT_MS: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
const DAY_MS = 86_400_000;
/** The calendar repeats itself within so many days, leap days included; nothing further ahead is looked for. */
const DAYS_AHEAD_MAX = 366 * 9;
const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** @throws RangeError it is none, or uses what is not played (W and # in cron) */
export function parseSchedule(text: string): ScheduleExpression {
  const [, kind, inside] = /^(rate|cron|at)\((.+)\)$/.exec(text.trim()) ?? [];
  if (kind === 'rate') return { kind, everyMs: rateOf(inside as string) };
  if (kind === 'cron') return { kind, ...cronOf(inside as string) };
  const atMs = kind === 'at' ? Date.parse(`${inside}Z`) : Number.NaN;
  if (kind === 'at' && !Number.isNaN(atMs)) return { kind, atMs };
  throw new RangeError(
    `expected rate(<value> <unit>), cron(<six fields>) or at(yyyy-mm-ddThh:mm:ss), got ${text}`,
  );
}

/** The first run after `afterMs` (Unix ms); undefined when there is none. A rate counts from `startMs`. */
export function nextRun(
  expression: ScheduleExpression,
  afterMs: number,
  startMs: number,
): number | undefined {
  switch (expression.kind) {
    case 'rate': {
      const passed = Math.floor((afterMs - startMs) / expression.everyMs) + 1;
      return startMs + Math.max(0, passed) * expression.everyMs;
    }
    case 'at':
      return expression.atMs > afterMs ? expression.atMs : undefined;
    case 'cron':
      return nextCron(expression, afterMs);
  }
}

function rateOf(text: string): number {
  const [, value, unit] = /^(\d+)\s+(minute|hour|day)s?$/.exec(text.trim()) ?? [];
  const everyMs = Number(value) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  if (!(everyMs > 0))
    throw new RangeError(`expected rate(<1 or more> minutes|hours|days), got rate(${text})`);
  return everyMs;
}

function cronOf(text: string): Cron {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 6)
    throw new RangeError(`expected six fields in cron(…), got ${fields.length}: ${text}`);
  const [minutes, hours, dayOfMonth, months, dayOfWeek, years] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if ((dayOfMonth === '?') === (dayOfWeek === '?'))
    throw new RangeError(`expected ? for exactly one of day of month and day of week, got cron(${text})`);
  return {
    minutes: valuesOf(minutes, 0, 59),
    hours: valuesOf(hours, 0, 23),
    daysOfMonth: dayOfMonth === '?' ? undefined : dayOfMonth === 'L' ? 'last' : valuesOf(dayOfMonth, 1, 31),
    months: valuesOf(months, 1, 12, MONTHS),
    daysOfWeek: dayOfWeek === '?' ? undefined : valuesOf(dayOfWeek, 1, 7, DAYS),
    years: years === '*' ? undefined : valuesOf(years, 1970, 2199),
  };
}

function valuesOf(
  field: string,
  min: number,
  max: number,
  names: readonly string[] = [],
): ReadonlySet<number> {
  const values = new Set<number>();
  for (const part of field.split(',')) {
    const [, range, step] = /^([^/]+)(?:\/(\d+))?$/.exec(part) ?? [];
    const [first, last] = (range ?? '').split('-').map((text) => {
      const name = names.indexOf(text.toUpperCase());
      return name >= 0 ? name + min : Number(text);
    });
    const from = range === '*' ? min : first;
    // `5/10` goes on to the end; `5` alone does not.
    const to = range === '*' ? max : (last ?? (step === undefined ? from : max));
    const by = Number(step ?? 1);
    if (!(from !== undefined && to !== undefined && from >= min && to <= max && from <= to && by >= 1))
      throw new RangeError(`expected values from ${min} to ${max}, got ${field}`);
    for (let value = from; value <= to; value += by) values.add(value);
  }
  return values;
}

function nextCron(cron: Cron, afterMs: number): number | undefined {
  const today = Math.floor(afterMs / DAY_MS) * DAY_MS;
  for (let ahead = 0; ahead < DAYS_AHEAD_MAX; ahead += 1) {
    const day = new Date(today + ahead * DAY_MS);
    if (!fallsOn(cron, day)) continue;
    for (const hour of sorted(cron.hours))
      for (const minute of sorted(cron.minutes)) {
        const at = day.getTime() + hour * 3_600_000 + minute * 60_000;
        if (at > afterMs) return at;
      }
  }
  return undefined;
}

function fallsOn({ months, years, daysOfMonth, daysOfWeek }: Cron, day: Date): boolean {
  if (!months.has(day.getUTCMonth() + 1)) return false;
  if (years && !years.has(day.getUTCFullYear())) return false;
  if (daysOfWeek && !daysOfWeek.has(day.getUTCDay() + 1)) return false;
  if (daysOfMonth === 'last') return new Date(day.getTime() + DAY_MS).getUTCDate() === 1;
  return daysOfMonth?.has(day.getUTCDate()) ?? true;
}

function sorted(values: ReadonlySet<number>): readonly number[] {
  return [...values].sort((a, b) => a - b);
}
