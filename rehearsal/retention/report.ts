// What a bucket has at a moment, counted, and in words.
import { type BackupTier, tickText } from '../../protocol/backups.ts';
import { JOURNAL_PREFIX } from '../../protocol/journal.ts';
import { dayText } from './ask.ts';
import { currentOf, isRestorable, isThere, type Life, type Made } from './year.ts';

export interface TierCount {
  readonly tier: BackupTier;
  /** The oldest first. */
  readonly there: readonly Made[];
  readonly restorable: readonly Made[];
  /** Of those that are there: in which storage class how many. */
  readonly classes: Readonly<Record<string, number>>;
}

export interface Held {
  readonly atMs: number;
  readonly tiers: readonly TierCount[];
  /** Hours of the journal. */
  readonly journal: number;
  /** All that is paid for; those a reader does not find; those that nobody can delete yet. */
  readonly versions: number;
  readonly unseen: number;
  readonly locked: number;
  readonly markers: number;
}

export function heldAt(life: Life, nowMs: number, tiers: readonly BackupTier[]): Held {
  const [all, current] = [life.bucket.versions(), life.bucket.current()];
  const versions = [...all.values()].flat();
  const markers = versions.filter(({ isMarker }) => isMarker).length;
  return {
    atMs: nowMs,
    tiers: tiers.map((tier) => countOf(life, tier)),
    journal: [...current.keys()].filter((key) => key.startsWith(JOURNAL_PREFIX)).length,
    versions: versions.length - markers,
    unseen: versions.length - markers - current.size,
    locked: versions.filter(({ lockedUntil }) => (lockedUntil ?? 0) > nowMs).length,
    markers,
  };
}

function countOf(life: Life, tier: BackupTier): TierCount {
  const there = [...life.made[tier].values()]
    .filter((made) => isThere(life, made))
    .sort((a, b) => a.tickMs - b.tickMs);
  const classes: Record<string, number> = {};
  for (const { dataKey } of there) {
    const { storageClass = '' } = currentOf(life.bucket.versions().get(dataKey)) ?? {};
    classes[storageClass] = (classes[storageClass] ?? 0) + 1;
  }
  return { tier, there, restorable: there.filter((made) => isRestorable(life, made)), classes };
}

export function dayLines(
  { atMs, tiers, ...held }: Held,
  { list }: { readonly list: boolean },
): readonly string[] {
  return [
    `on ${dayText(atMs)} at noon UTC`,
    ...tiers.flatMap((tier) => [
      tierLine(tier),
      ...(list ? tier.there.map((made) => listLine(tier, made)) : []),
    ]),
    ...(tiers.some(({ tier }) => tier === 'hourly') ? [`  journal   ${held.journal} hours`] : []),
    `  held      ${held.versions} versions, ${held.unseen} of them under a delete marker, ${held.locked} locked; ${held.markers} delete markers`,
  ];
}

function tierLine({ tier, there, restorable, classes }: TierCount): string {
  const [first, last] = [there[0], there.at(-1)];
  if (!first || !last) return `  ${tier.padEnd(9)} none`;
  const range = first === last ? tickText(first) : `${tickText(first)} to ${tickText(last)}`;
  const since = restorable[0];
  const can =
    restorable.length === there.length
      ? 'all can be restored'
      : `${restorable.length} can be restored${since ? `, from ${tickText(since)} on` : ''}`;
  const where = Object.entries(classes).map(([name, count]) => `${count} in ${name}`);
  return `  ${tier.padEnd(9)} ${there.length}: ${range}; ${can}; ${where.join(', ')}`;
}

function listLine({ restorable }: TierCount, made: Made): string {
  const on = made.chain.length === 0 ? 'full' : `on ${made.chain.length} before it`;
  return `    ${made.prefix} ${on}${restorable.includes(made) ? '' : ', cannot be restored any more'}`;
}

/** A line a moment. */
export function tableLines(moments: readonly Held[]): readonly string[] {
  const [first] = moments;
  if (!first) return [];
  const hasJournal = first.tiers.some(({ tier }) => tier === 'hourly');
  const head = ['', ...first.tiers.map(({ tier }) => tier), ...(hasJournal ? ['journal h'] : [])];
  head.push('versions', 'unseen', 'locked', 'markers');
  const rows = moments.map(({ atMs, tiers, journal, versions, unseen, locked, markers }) => [
    dayText(atMs),
    ...tiers.map(({ there }) => there.length),
    ...(hasJournal ? [journal] : []),
    ...[versions, unseen, locked, markers],
  ]);
  const widths = head.map((name) => Math.max(name.length, 10));
  return [head, ...rows].map(
    (row) => `  ${row.map((cell, at) => String(cell).padStart(widths[at] ?? 0)).join(' ')}`,
  );
}
