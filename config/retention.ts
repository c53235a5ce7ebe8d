// What each backup bucket keeps for how long, and the check that a bucket's rules say exactly that. The rules are made
// from this table and then read back from the finished template, so that a tier which is removed, shortened or overridden
// anywhere on the way fails the synth instead of ending backups in silence.
import { RETENTION_DAYS } from './promises.ts';

/** As long as DynamoDB's own point-in-time recovery, which the journal stands in for when the table is gone. */
export const JOURNAL_DAYS = 35;
/** What was replaced, or expired and now lies under a delete marker, stays this much longer. */
export const NONCURRENT_DAYS = 1;
/** New objects are locked for the shortest tier, in every bucket: longer tiers extend the lock of each object once it is
 * verified, so that nothing is kept for years because it was damaged when it came. */
export const LOCK_DAYS = RETENTION_DAYS.hourly;
/** What a restore by workers leaves while it is under way goes as soon as its lock ends. */
export const RESTORING_DAYS = LOCK_DAYS;
/** Reading from Deep Archive takes hours, so the offsite copy is verified first. */
export const ARCHIVED_AFTER_DAYS = 7;

export interface KeptPrefix {
  readonly prefix: string;
  readonly days: number;
  readonly archive?: { readonly storageClass: string; readonly afterDays: number };
}

export type BackupBucketUse = 'backup' | 'offsite';

/** By what a bucket is for. */
export const KEPT: Readonly<Record<BackupBucketUse, readonly KeptPrefix[]>> = {
  backup: [
    { prefix: 'hourly/', days: RETENTION_DAYS.hourly },
    { prefix: 'daily/', days: RETENTION_DAYS.daily },
    { prefix: 'weekly/', days: RETENTION_DAYS.weekly },
    { prefix: 'journal/', days: JOURNAL_DAYS },
    { prefix: 'journal-parked/', days: JOURNAL_DAYS },
    { prefix: 'restoring/', days: RESTORING_DAYS },
  ],
  offsite: [
    {
      prefix: 'offsite/',
      days: RETENTION_DAYS.offsite,
      archive: { storageClass: 'DEEP_ARCHIVE', afterDays: ARCHIVED_AFTER_DAYS },
    },
  ],
};

/** Days that S3 bills an object in a storage class for at least, and days it must have stood in the first one before.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html */
const STORAGE_DAYS_MIN: Readonly<Record<string, { readonly stays: number; readonly before: number }>> = {
  STANDARD_IA: { stays: 30, before: 30 },
  ONEZONE_IA: { stays: 30, before: 30 },
  INTELLIGENT_TIERING: { stays: 0, before: 0 },
  GLACIER_IR: { stays: 90, before: 0 },
  GLACIER: { stays: 90, before: 0 },
  DEEP_ARCHIVE: { stays: 180, before: 0 },
};

/** A bucket as its template describes it (`AWS::S3::Bucket`). */
export type BucketProperties = Readonly<Record<string, unknown>>;

/** What a bucket's rules do to what it should keep; empty when they are right. Each fault says what was expected and what
 * came. */
export function retentionFaults(
  { LifecycleConfiguration, ObjectLockConfiguration, VersioningConfiguration }: BucketProperties,
  kept: readonly KeptPrefix[],
): readonly string[] {
  const rules = listIn(LifecycleConfiguration, 'Rules').filter((rule) => rule['Status'] === 'Enabled');
  return [
    ...versionFaults(VersioningConfiguration),
    ...lockFaults(ObjectLockConfiguration, kept),
    ...rules.flatMap(unexpectedIn),
    ...kept.flatMap((it) => prefixFaults(it, rules)),
    ...strayFaults(rules, kept),
    ...(rules.some((rule) => reaches(rule, '') && rule['ExpiredObjectDeleteMarker'] === true)
      ? []
      : ['expected a rule for the whole bucket that removes expired delete markers, got none']),
    ...(rules.some((rule) => reaches(rule, '') && isOnce(rule['AbortIncompleteMultipartUpload']))
      ? []
      : ['expected a rule for the whole bucket that ends unfinished uploads after a day, got none']),
  ];
}

type Rule = Readonly<Record<string, unknown>>;

function prefixFaults({ prefix, days, archive }: KeptPrefix, rules: readonly Rule[]): readonly string[] {
  const own = rules.filter((rule) => reaches(rule, prefix));
  const faults: string[] = [];
  const expirations = own.flatMap(({ ExpirationInDays }) => ExpirationInDays ?? []);
  if (expirations.length === 0) faults.push(`${prefix}: expected to be kept ${days} days, got no end`);
  for (const got of expirations)
    if (got !== days) faults.push(`${prefix}: expected to be kept ${days} days, got ${String(got)}`);
  const noncurrent = own.flatMap(
    (rule) => fieldIn(rule['NoncurrentVersionExpiration'], 'NoncurrentDays') ?? [],
  );
  if (noncurrent.length === 0)
    faults.push(`${prefix}: expected old versions to go after ${NONCURRENT_DAYS} day, got no end`);
  for (const got of noncurrent)
    if (got !== NONCURRENT_DAYS)
      faults.push(`${prefix}: expected old versions to go after ${NONCURRENT_DAYS} day, got ${String(got)}`);
  const transitions = own.flatMap((rule) => listIn(rule, 'Transitions'));
  const wanted = archive ? [[archive.storageClass, archive.afterDays]] : [];
  const got = transitions.map((it) => [it['StorageClass'], it['TransitionInDays']]);
  if (JSON.stringify(got) !== JSON.stringify(wanted))
    faults.push(
      `${prefix}: expected to move to other storage classes ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`,
    );
  for (const it of transitions) faults.push(...durationFaults(prefix, days, it));
  return faults;
}

function durationFaults(prefix: string, days: number, transition: Rule): readonly string[] {
  const storageClass = String(transition['StorageClass']);
  const after = Number(transition['TransitionInDays']);
  const least = STORAGE_DAYS_MIN[storageClass];
  if (!least) return [`${prefix}: expected a known storage class, got ${storageClass}`];
  const faults: string[] = [];
  if (!(days - after >= least.stays))
    faults.push(
      `${prefix}: expected at least ${least.stays} days in ${storageClass}, which are billed, got ${days - after}`,
    );
  if (!(after >= least.before))
    faults.push(`${prefix}: expected at least ${least.before} days before ${storageClass}, got ${after}`);
  return faults;
}

/** A rule that ends something nobody said may end. */
function strayFaults(rules: readonly Rule[], kept: readonly KeptPrefix[]): readonly string[] {
  return rules
    .filter(
      (rule) => rule['ExpirationInDays'] !== undefined || rule['NoncurrentVersionExpiration'] !== undefined,
    )
    .map(prefixOf)
    .filter((prefix) => !kept.some((it) => it.prefix === prefix))
    .map(
      (prefix) =>
        `expected rules for ${kept.map((it) => it.prefix).join(', ')} alone, got one for "${prefix}"`,
    );
}

const RULE_FIELDS: readonly string[] = [
  'AbortIncompleteMultipartUpload',
  'ExpirationInDays',
  'ExpiredObjectDeleteMarker',
  'Id',
  'NoncurrentVersionExpiration',
  'Prefix',
  'Status',
  'Transitions',
];

/** A tag, a size or a date would make a rule mean something else than is checked here. */
function unexpectedIn(rule: Rule): readonly string[] {
  const others = Object.keys(rule).filter((name) => !RULE_FIELDS.includes(name));
  if (fieldIn(rule['NoncurrentVersionExpiration'], 'NewerNoncurrentVersions') !== undefined)
    others.push('NewerNoncurrentVersions');
  return others.map((name) => `rule ${String(rule['Id'])}: expected none of ${name}, got one`);
}

function lockFaults(configuration: unknown, kept: readonly KeptPrefix[]): readonly string[] {
  const retention = fieldIn(fieldIn(configuration, 'Rule'), 'DefaultRetention');
  const days = Number(fieldIn(retention, 'Days'));
  const shortest = Math.min(...kept.map((it) => it.days));
  if (!(days >= 1)) return ['expected new objects to be locked, got no lock'];
  return days <= shortest
    ? []
    : [
        `expected new objects to be locked for at most the ${shortest} days of the shortest tier, got ${days}`,
      ];
}

function versionFaults(configuration: unknown): readonly string[] {
  const status = fieldIn(configuration, 'Status');
  return status === 'Enabled' ? [] : [`expected versions to be kept, got ${String(status)}`];
}

/** Whether a rule acts on anything under a prefix. */
function reaches(rule: Rule, prefix: string): boolean {
  const own = prefixOf(rule);
  return prefix === '' ? own === '' : own.startsWith(prefix) || prefix.startsWith(own);
}

function prefixOf(rule: Rule): string {
  return String(rule['Prefix'] ?? '');
}

function isOnce(abort: unknown): boolean {
  return fieldIn(abort, 'DaysAfterInitiation') === 1;
}

function listIn(value: unknown, name: string): readonly Rule[] {
  const list = fieldIn(value, name);
  return Array.isArray(list) ? list : [];
}

function fieldIn(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Rule)[name] : undefined;
}
