// What the synthesized templates say of backups: which tier is made when, what each bucket does with what stands in it,
// and how long verified ones are locked. Buckets that are kept alike are one here.
import { BACKUP_TIERS, type BackupTier, DAY_MS } from '../../protocol/backups.ts';
import type { Deployment, Resource } from '../assembly/assembly.ts';
import { lifecycleOf, type Rule } from '../aws/s3/lifecycle.ts';
import { parseSchedule, type ScheduleExpression } from '../region/schedule-expression.ts';

export type KeptUse = 'backup' | 'offsite';

export interface Keeping {
  readonly use: KeptUse;
  /** Of all the buckets that are kept like this. */
  readonly buckets: readonly string[];
  readonly rules: readonly Rule[];
  /** Of every new version, in ms; 0: none. */
  readonly lockMs: number;
  /** When each tier is made; one that is missing never is. */
  readonly schedules: ReadonlyMap<BackupTier, ScheduleExpression>;
  /** For so many days from its tick a verified backup of a tier is locked. */
  readonly verifiedLockDays: Readonly<Partial<Record<BackupTier, number>>>;
}

const TIERS: Readonly<Record<KeptUse, readonly BackupTier[]>> = {
  backup: ['hourly', 'daily', 'weekly'],
  offsite: ['offsite'],
};

/** @throws {TypeError | RangeError} a rule, a schedule or a lock that cannot be read; says which */
export function keepingsOf(deployment: Pick<Deployment, 'ofType'>): readonly Keeping[] {
  const found = deployment.ofType('AWS::S3::Bucket').flatMap((bucket) => {
    const use = (['backup', 'offsite'] as const).find((it) => bucket.physicalId.includes(`-${it}-`));
    return use ? [keepingOf(use, bucket, deployment)] : [];
  });
  const alike = Map.groupBy(found, ({ buckets: _, ...kept }) =>
    JSON.stringify({ ...kept, schedules: [...kept.schedules].map(written) }),
  );
  return [...alike.values()].map((group) => ({
    ...(group[0] as Keeping),
    buckets: group.flatMap(({ buckets }) => buckets),
  }));
}

function keepingOf(use: KeptUse, bucket: Resource, deployment: Pick<Deployment, 'ofType'>): Keeping {
  const { region, properties, physicalId } = bucket;
  const lock = fieldIn(properties['ObjectLockConfiguration'], 'Rule', 'DefaultRetention', 'Days') ?? 0;
  return {
    use,
    buckets: [physicalId],
    rules: lifecycleOf(bucket),
    lockMs: Number(lock) * DAY_MS,
    schedules: new Map(
      TIERS[use].flatMap((tier) => {
        const schedule = deployment
          .ofType('AWS::Scheduler::Schedule', region)
          .find(
            ({ physicalId: name, properties: { State } }) =>
              name.endsWith(`backup-${tier}`) && State !== 'DISABLED',
          );
        return schedule ? [[tier, parseSchedule(String(schedule.properties['ScheduleExpression']))]] : [];
      }),
    ),
    verifiedLockDays: verifiedLockDaysIn(deployment, region),
  };
}

/** As the Region's verification is told. */
function verifiedLockDaysIn(
  deployment: Pick<Deployment, 'ofType'>,
  region: string,
): Keeping['verifiedLockDays'] {
  for (const { properties } of deployment.ofType('AWS::Lambda::Function', region)) {
    const text = fieldIn(properties['Environment'], 'Variables', 'BACKUP_LOCKS');
    if (typeof text !== 'string') continue;
    const days = fieldIn(JSON.parse(text), 'days');
    return Object.fromEntries(
      BACKUP_TIERS.flatMap((tier) => {
        const of = fieldIn(days, tier);
        return typeof of === 'number' ? [[tier, of]] : [];
      }),
    );
  }
  return {};
}

function fieldIn(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce(
    (at: unknown, name) =>
      typeof at === 'object' && at !== null ? (at as Readonly<Record<string, unknown>>)[name] : undefined,
    value,
  );
}

/** Sets have no JSON of their own. */
function written([tier, expression]: readonly [BackupTier, ScheduleExpression]): string {
  return JSON.stringify([tier, expression], (_, value) => (value instanceof Set ? [...value] : value));
}
