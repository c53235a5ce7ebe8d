// A bucket's lifecycle rules: what they say, and what is to be done about the versions of one key at a time. S3 looks
// once a day, at midnight UTC, and rounds every age up to the midnight after it.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-expire-general-considerations.html
//
// Where it differs from S3: what is due is done at that midnight, not some time after it; rules by tag are not played;
// there are no uploads in parts, so a rule that ends unfinished ones has nothing to end.
import type { Resource } from '../../assembly/assembly.ts';
import { asList, isRecord } from '../iam-conditions.ts';

export interface Rule {
  readonly id: string;
  readonly prefix: string;
  /** Bytes, both exclusive. */
  readonly largerThan: number | undefined;
  readonly smallerThan: number | undefined;
  readonly expiration: When | undefined;
  readonly expiredObjectDeleteMarker: boolean;
  readonly noncurrent: { readonly days: number; readonly keep: number } | undefined;
  readonly transitions: readonly { readonly when: When; readonly storageClass: string }[];
  readonly noncurrentTransitions: readonly {
    readonly days: number;
    readonly keep: number;
    readonly storageClass: string;
  }[];
}

/** So many days after an object was made, or from a day on. */
export type When = { readonly days: number } | { readonly dateMs: number };

/** What of a version rules look at. */
export interface Aged {
  readonly id: string;
  readonly isMarker: boolean;
  readonly bytes: number;
  /** Unix ms. */
  readonly modifiedAt: number;
  /** Unix ms; undefined when nothing locks it. */
  readonly lockedUntil: number | undefined;
  readonly storageClass: string;
}

export type Action =
  /** The current version goes: under a delete marker, or for good where there are no versions. */
  | { readonly kind: 'expire' }
  | { readonly kind: 'remove'; readonly versionId: string }
  | { readonly kind: 'transition'; readonly versionId: string; readonly storageClass: string };

export const DAY_MS = 86_400_000;
/** Smaller objects stay where they are unless a rule names sizes itself. */
const TRANSITION_BYTES_MIN = 128 * 1024;

const PLAYED: readonly string[] = [
  'AbortIncompleteMultipartUpload',
  'ExpirationDate',
  'ExpirationInDays',
  'ExpiredObjectDeleteMarker',
  'Id',
  'NoncurrentVersionExpiration',
  'NoncurrentVersionExpirationInDays',
  'NoncurrentVersionTransitions',
  'ObjectSizeGreaterThan',
  'ObjectSizeLessThan',
  'Prefix',
  'Status',
  'Transitions',
];

/** What of a rule is not played; then none of it is. */
export function unplayedOf(rule: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.keys(rule).filter((name) => !PLAYED.includes(name));
}

/** Rules that are on and played. @throws TypeError one that S3 would refuse; says which and why */
export function lifecycleOf({
  logicalId,
  properties,
}: Pick<Resource, 'logicalId' | 'properties'>): readonly Rule[] {
  const configuration = properties['LifecycleConfiguration'];
  return asList(isRecord(configuration) ? configuration['Rules'] : undefined)
    .filter(isRecord)
    .filter((rule) => rule['Status'] === 'Enabled' && unplayedOf(rule).length === 0)
    .map((rule) => readRule(rule, `${logicalId}: lifecycle rule ${String(rule['Id'] ?? '')}`));
}

function readRule(rule: Readonly<Record<string, unknown>>, where: string): Rule {
  const expiration = whenOf(rule['ExpirationInDays'], rule['ExpirationDate'], where);
  const marker = rule['ExpiredObjectDeleteMarker'] === true;
  if (marker && expiration)
    throw new TypeError(`${where}: ExpiredObjectDeleteMarker cannot stand with days or a date of expiration`);
  return {
    id: String(rule['Id'] ?? ''),
    prefix: String(rule['Prefix'] ?? ''),
    largerThan: sizeOf(rule['ObjectSizeGreaterThan']),
    smallerThan: sizeOf(rule['ObjectSizeLessThan']),
    expiration,
    expiredObjectDeleteMarker: marker,
    noncurrent: noncurrentOf(rule, where),
    transitions: asList(rule['Transitions'])
      .filter(isRecord)
      .map(({ TransitionInDays, TransitionDate, StorageClass }) => ({
        when: whenOf(TransitionInDays, TransitionDate, where) ?? { days: 0 },
        storageClass: String(StorageClass),
      })),
    noncurrentTransitions: asList(rule['NoncurrentVersionTransitions'])
      .filter(isRecord)
      .map(({ TransitionInDays, NewerNoncurrentVersions, StorageClass }) => ({
        days: daysOf(TransitionInDays, where),
        keep: Number(NewerNoncurrentVersions ?? 0),
        storageClass: String(StorageClass),
      })),
  };
}

function noncurrentOf(rule: Readonly<Record<string, unknown>>, where: string): Rule['noncurrent'] {
  const given = rule['NoncurrentVersionExpiration'];
  const days = isRecord(given) ? given['NoncurrentDays'] : rule['NoncurrentVersionExpirationInDays'];
  if (days === undefined) return undefined;
  return {
    days: daysOf(days, where),
    keep: Number((isRecord(given) ? given['NewerNoncurrentVersions'] : undefined) ?? 0),
  };
}

function whenOf(days: unknown, date: unknown, where: string): When | undefined {
  if (days !== undefined) return { days: daysOf(days, where) };
  if (date === undefined) return undefined;
  const dateMs = Date.parse(String(date));
  if (dateMs % DAY_MS === 0) return { dateMs };
  throw new TypeError(`${where}: expected a date at midnight UTC, got ${String(date)}`);
}

function daysOf(value: unknown, where: string): number {
  const days = Number(value);
  if (Number.isInteger(days) && days >= 0) return days;
  throw new TypeError(`${where}: expected a whole number of days, got ${JSON.stringify(value)}`);
}

function sizeOf(value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** The midnight after so many days from then. */
export function midnightAfter(ms: number, days: number): number {
  return (Math.floor((ms + days * DAY_MS) / DAY_MS) + 1) * DAY_MS;
}

/**
 * What is due about one key. Removing comes before moving to another class. A lock, in either mode, keeps its version
 * and nothing else: markers are made over locked versions, and these move between classes.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
 * @param versions the newest first
 */
export function dueActions(
  rules: readonly Rule[],
  key: string,
  versions: readonly Aged[],
  nowMs: number,
): readonly Action[] {
  const mine = rules.filter(({ prefix }) => key.startsWith(prefix));
  const [current, ...others] = versions;
  if (!current || mine.length === 0) return [];
  return [
    ...currentActions(mine, current, others.length === 0, nowMs),
    ...others.flatMap((version, at) => {
      // It became noncurrent when the one before it came.
      const since = (versions[at] as Aged).modifiedAt;
      return noncurrentActions(mine, version, { since, newer: at }, nowMs);
    }),
  ];
}

function currentActions(
  rules: readonly Rule[],
  version: Aged,
  isAlone: boolean,
  nowMs: number,
): readonly Action[] {
  if (version.isMarker) {
    // An age of expiration removes lone markers of that age too.
    const isOver =
      isAlone &&
      rules.some(
        ({ expiredObjectDeleteMarker, expiration }) =>
          expiredObjectDeleteMarker || (expiration && isDue(expiration, version, nowMs)),
      );
    return isOver ? [{ kind: 'remove', versionId: version.id }] : [];
  }
  const fitting = rules.filter((rule) => fits(rule, version));
  if (fitting.some(({ expiration }) => expiration && isDue(expiration, version, nowMs)))
    return [{ kind: 'expire' }];
  const moves = fitting.flatMap((rule) =>
    rule.transitions.filter(({ when }) => mayMove(rule, version) && isDue(when, version, nowMs)),
  );
  return moved(version, moves);
}

function noncurrentActions(
  rules: readonly Rule[],
  version: Aged,
  { since, newer }: { readonly since: number; readonly newer: number },
  nowMs: number,
): readonly Action[] {
  const isDueOnce = ({ days, keep }: { readonly days: number; readonly keep: number }) =>
    newer >= keep && midnightAfter(since, days) <= nowMs;
  const fitting = rules.filter((rule) => version.isMarker || fits(rule, version));
  if (fitting.some(({ noncurrent }) => noncurrent && isDueOnce(noncurrent)))
    return (version.lockedUntil ?? 0) > nowMs ? [] : [{ kind: 'remove', versionId: version.id }];
  if (version.isMarker) return [];
  const moves = fitting.flatMap((rule) =>
    rule.noncurrentTransitions.filter((move) => mayMove(rule, version) && isDueOnce(move)),
  );
  return moved(version, moves);
}

function isDue(when: When, { modifiedAt }: Aged, nowMs: number): boolean {
  return nowMs >= ('dateMs' in when ? when.dateMs : midnightAfter(modifiedAt, when.days));
}

function fits({ largerThan, smallerThan }: Rule, { bytes }: Aged): boolean {
  return (
    (largerThan === undefined || bytes > largerThan) && (smallerThan === undefined || bytes < smallerThan)
  );
}

function mayMove({ largerThan, smallerThan }: Rule, { bytes }: Aged): boolean {
  return bytes >= TRANSITION_BYTES_MIN || largerThan !== undefined || smallerThan !== undefined;
}

/** From the dearest to the cheapest; nothing moves back. */
const CLASSES = [
  'STANDARD',
  'STANDARD_IA',
  'INTELLIGENT_TIERING',
  'ONEZONE_IA',
  'GLACIER_IR',
  'GLACIER',
  'DEEP_ARCHIVE',
];

function moved(version: Aged, moves: readonly { readonly storageClass: string }[]): readonly Action[] {
  const rank = (storageClass: string) => CLASSES.indexOf(storageClass);
  const to = moves
    .map(({ storageClass }) => storageClass)
    .reduce((best, each) => (rank(each) > rank(best) ? each : best), version.storageClass);
  return to === version.storageClass ? [] : [{ kind: 'transition', versionId: version.id, storageClass: to }];
}
