// Every bucket of a deployment lived through from the first day to the last: looked at just after each midnight, when
// rules have acted, and at noon.
import { type BackupTier, DAY_MS, HOUR_MS } from '../../protocol/backups.ts';
import type { Keeping, KeptUse } from './keeping.ts';
import { type Difference, differencesAt } from './policy.ts';
import { type Held, heldAt } from './report.ts';
import { live } from './year.ts';

export interface Played {
  readonly buckets: readonly string[];
  /** Of the day that was asked for; undefined when it is not among those played. */
  readonly day: Held | undefined;
  /** On the first of every month, and on the last day. */
  readonly months: readonly Held[];
  /** Of each kind the first, and how many there were. */
  readonly differences: readonly (Difference & { readonly times: number })[];
}

const NOON_MS = 12 * HOUR_MS;
/** A second after S3 has acted. */
const AFTER_MIDNIGHT_MS = 1_000;

const TIERS: Readonly<Record<KeptUse, readonly BackupTier[]>> = {
  backup: ['hourly', 'daily', 'weekly'],
  offsite: ['offsite'],
};
const USES: readonly KeptUse[] = ['backup', 'offsite'];

/** A use without a bucket differs too. */
export function play(
  keepings: readonly Keeping[],
  { fromMs, onMs, days }: { readonly fromMs: number; readonly onMs: number; readonly days: number },
): readonly Played[] {
  const missing = USES.filter((use) => !keepings.some((it) => it.use === use)).map((use): Played => {
    const what = `expected a bucket for ${use}, there is none`;
    const difference = { kind: use, atMs: fromMs, what, times: 1 };
    return { buckets: [`no bucket for ${use}`], day: undefined, months: [], differences: [difference] };
  });
  return [...keepings.map((keeping) => playOne(keeping, { fromMs, onMs, days })), ...missing];
}

function playOne(
  keeping: Keeping,
  { fromMs, onMs, days }: { readonly fromMs: number; readonly onMs: number; readonly days: number },
): Played {
  const first = new Map<string, Difference & { readonly times: number }>();
  const months: Held[] = [];
  let day: Held | undefined;
  const lastMs = fromMs + (days - 1) * DAY_MS;
  live(keeping, { fromMs, days, lookAt: [AFTER_MIDNIGHT_MS, NOON_MS] }, (life, nowMs) => {
    for (const difference of differencesAt(life, nowMs)) {
      const known = first.get(difference.kind);
      first.set(difference.kind, { ...(known ?? difference), times: (known?.times ?? 0) + 1 });
    }
    const midnight = nowMs - NOON_MS;
    if (midnight % DAY_MS !== 0) return;
    const isMonth = new Date(nowMs).getUTCDate() === 1 || midnight === lastMs;
    if (!isMonth && midnight !== onMs) return;
    const held = heldAt(life, nowMs, TIERS[keeping.use]);
    if (isMonth) months.push(held);
    if (midnight === onMs) day = held;
  });
  return { buckets: keeping.buckets, day, months, differences: [...first.values()] };
}
