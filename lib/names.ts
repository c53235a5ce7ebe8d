// Every physical name, made from stage, layer and Region, so that another stack, another Region, a runbook and the
// rehearsal can name a resource without asking for it (ADR 0010).
import type { Role } from '../config/config.ts';
import type { Severity } from '../config/promises.ts';
import type { ServiceName } from '../protocol/metrics.ts';

/** The alias that every caller of a function goes through, and the stage of the API. */
export const LIVE = 'live';

export type Layer =
  | `foundation-${Role}`
  | 'data'
  | 'quorum'
  | 'offsite-copy'
  | 'service-primary'
  | 'service-standby'
  | 'traffic';

const PROJECT = 'eden-field';

export function projectName(stage: string): string {
  return `${PROJECT}-${stage}`;
}

export function stackName(stage: string, layer: Layer): string {
  return `${projectName(stage)}-${layer}`;
}

export function tableName(stage: string): string {
  return `${projectName(stage)}-records`;
}

/** What every table begins with that a verification makes for itself, loads a backup into and deletes. */
export function scratchPrefix(stage: string): string {
  return `${projectName(stage)}-scratch-`;
}

export function functionName(stage: string, name: string): string {
  return `${projectName(stage)}-${name}`;
}

export function topicName(stage: string, severity: Severity): string {
  return `${projectName(stage)}-${severity}`;
}

export function keyAlias(stage: string): string {
  return `alias/${projectName(stage)}`;
}

/** Of the offsite bucket's own key. */
export function offsiteKeyAlias(stage: string): string {
  return `${keyAlias(stage)}-offsite`;
}

/** Bucket names are global, so they carry Region and account. */
export function bucketName(
  stage: string,
  use: 'backup' | 'offsite' | 'audit',
  region: string,
  account: string,
): string {
  return `${projectName(stage)}-${use}-${region}-${account}`;
}

/** Of a role that another account's policies let in. Names of roles know no Regions, so this one says its own. */
export function roleName(stage: string, name: 'backup' | 'verification', region: string): string {
  return `${functionName(stage, name)}-${region}`;
}

export function functionLogGroup(stage: string, name: string): string {
  return `/aws/lambda/${functionName(stage, name)}`;
}

export function accessLogGroup(stage: string): string {
  return `/aws/apigateway/${projectName(stage)}`;
}

/** The alarm that holds the primary out of DNS while the standby says it is evacuated. */
export function evacuatedAlarmName(stage: string): string {
  return `${projectName(stage)}-evacuated`;
}

/** Of Route 53's checks, as they are tagged: of `/health` in each serving Region, of the alarm above, and of the primary's
 * two together. */
export function healthCheckNames(stage: string) {
  const project = projectName(stage);
  return {
    primary: `${project} primary answers`,
    standby: `${project} standby answers`,
    notEvacuated: `${project} primary is not evacuated`,
    primaryServes: `${project} primary answers and is not evacuated`,
  } as const;
}

/** The alarm by which a Region's observer wakes somebody because nobody may move. */
export function failoverPageAlarmName(stage: string): string {
  return `${projectName(stage)}-failover-page`;
}

/** The alarms of a Region's journal: it is behind or silent, something had to be put beside it, and it lacks what no other
 * Region has. */
export function journalAlarmName(stage: string, what: 'lag' | 'parked' | 'gaps'): string {
  return `${projectName(stage)}-journal-${what}`;
}

/** The alarm that a Region's audit archive lacks what no other Region has. */
export function auditGapsAlarmName(stage: string): string {
  return `${projectName(stage)}-audit-gaps`;
}

/** The alarms of a Region that counts copies of backups: one is missing, and more than one. */
export function backupAlarmName(stage: string, severity: 'warning' | 'critical'): string {
  return `${projectName(stage)}-backup-copies-${severity}`;
}

/** The alarms of a Region's verification: a backup must not be restored, and one has had no verdict for too long. */
export function verificationAlarmName(stage: string, what: 'corrupted' | 'unverified'): string {
  return `${projectName(stage)}-backup-${what}`;
}

/** The alarms on damage in a Region's replica: what its scrubber knows of, and what a service met. */
export function corruptionAlarmName(stage: string, service: ServiceName): string {
  return `${projectName(stage)}-data-corruption-${service}`;
}

/** The alarm that nobody looks for damage in a Region any more. */
export function scrubberSilentAlarmName(stage: string): string {
  return `${projectName(stage)}-scrubber-silent`;
}

/** The queue a Region's restore function takes its tasks from, and where those stand that failed too often. */
export function restoreQueueName(stage: string, use: 'tasks' | 'failed'): string {
  return `${projectName(stage)}-restore-${use}`;
}

/** The alarm that a task of a restore failed too often. */
export function restoreFailedAlarmName(stage: string): string {
  return `${projectName(stage)}-restore-failed`;
}

/** The alarm that a Region's observer has stopped looking, and so has no vote. */
export function observerSilentAlarmName(stage: string): string {
  return `${projectName(stage)}-observer-silent`;
}

/** The alarms that a Region's reconciler fails, or is behind its stream. */
export function reconcilerAlarmName(stage: string, what: 'failing' | 'behind'): string {
  return `${projectName(stage)}-reconciler-${what}`;
}

/** Where a Region's copy of the failover name is reached: the target of the failover records. */
export function originName(domainName: string, region: string): string {
  return `origin-${region}.${domainName}`;
}
