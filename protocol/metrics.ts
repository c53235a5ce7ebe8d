// What is measured: metric names in the one namespace, under the dimensions Stage, Region, Service (DESIGN §7).
// Functions emit them, alarms and the dashboard read them.

export const METRICS_NAMESPACE = 'EdenField';

export const SERVICES = {
  api: 'api',
  sync: 'sync',
  authentication: 'authentication',
  observer: 'observer',
  audit: 'audit',
  maintenance: 'maintenance',
  backup: 'backup',
  verification: 'verification',
  restore: 'restore',
  scrubber: 'scrubber',
  deployment: 'deployment',
} as const;

export type ServiceName = keyof typeof SERVICES;

export const METRICS = {
  /** Answers given, how many of them were 5xx (0 is counted too), and how long each took in ms. */
  requests: 'requests',
  errors: 'errors',
  latency: 'latency',
  /** Operations in a push, and how long the push took in ms. */
  syncBatchSize: 'sync_batch_size',
  syncOperationDuration: 'sync_operation_duration',
  /** Operations pushed, and those the service failed to settle: `deferred` by the store or without a quorum. */
  syncOperations: 'sync_operations',
  syncFailures: 'sync_failures',
  /** Edits that met a state their author had not seen. */
  conflicts: 'conflicts',
  /** Votes that found no majority, so that nothing was written. */
  votesUndecided: 'votes_undecided',
  /** Answers given through another region's replica, because this region's failed or was slow. */
  degraded: 'degraded',
  /** Audit entries archived, and those that could not be. */
  auditArchived: 'audit_archived',
  auditFailures: 'audit_failures',
  /** How far the journal is behind, in ms, by the oldest change of a batch; and segments and stream records that had to
   * be put beside it, since it could not take them. */
  journalLag: 'journal_lag',
  journalParked: 'journal_parked',
  /** What a region's journal of the last day lacks and no other region's has; the same of audit entries and payloads. */
  journalGaps: 'journal_gaps',
  auditGaps: 'audit_gaps',
  /** Copies that are complete of the tick that has fewest, among those that should be by now; and those that are not. */
  backupCopies: 'backup_copies',
  backupReplicasFailed: 'backup_replicas_failed',
  /** Backups verified; those whose verdict says that they must not be restored; and how long the verdict that is most
   * overdue is overdue, in ms. */
  backupVerified: 'backup_verified',
  backupCorrupted: 'backup_corrupted',
  backupUnverifiedAge: 'backup_unverified_age',
  /** Records that were loaded for a restore; tasks of it that are done, and attempts at one that failed. */
  restoredRecords: 'restored_records',
  restoreTasks: 'restore_tasks',
  restoreFailures: 'restore_failures',
  /** Records that two replicas had written at once and that were brought together, or were late, by a reconciler; and
   * those that could not be. */
  reconciled: 'reconciled',
  reconcileFailures: 'reconcile_failures',
  /** Tombstones removed. */
  tombstonesSwept: 'tombstones_swept',
  /** Payloads that do not match their SHA-256, where somebody asked for them; and of a scrubber, all items of its
   * region's replica that it knows to be damaged now. */
  dataCorruption: 'data_corruption',
  /** Items a scrubber looked at; and how long ago, in ms, the one it has not looked at for longest may have been. */
  scrubbed: 'scrubbed',
  scrubAge: 'scrub_age',
  /** Write attempts refused because another region wrote the same item, or the table was busy. */
  storeRetries: 'store_retries',
  /** `/health` and `/ready` answers, and those that were not 200. */
  healthChecks: 'health_checks',
  healthCheckFailures: 'health_check_failures',
  /** Beats and feed checks of an observer that failed; age in ms of the freshest beat of another region. */
  heartbeats: 'heartbeats',
  heartbeatFailures: 'heartbeat_failures',
  heartbeatAge: 'heartbeat_age',
  /** Of observers: votes for leaving a region, moves made, and reasons to wake somebody because nobody may move. */
  failoverVotes: 'failover_votes',
  failovers: 'failovers',
  failoverPages: 'failover_pages',
  /** 1 while the primary region is evacuated, 0 while not; silent while that cannot be read. */
  evacuated: 'evacuated',
} as const;

export type MetricName = (typeof METRICS)[keyof typeof METRICS];

/** Verdicts of pushed operations by name, e.g. `sync_applied`. */
export function verdictMetric<Name extends string>(verdict: Name): `sync_${Name}` {
  return `sync_${verdict}`;
}
