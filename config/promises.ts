// Every number of the specification, once. Nothing else in the project may state one of these; a stage's
// configuration is checked against them (recovery.ts), alarms and docs are made from them.
// Units last in the name; fractions are fractions, not percent, unless the name says percent.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Uptime targets as fractions of time. */
export const AVAILABILITY = {
  api: 0.9999,
  sync: 0.9999,
  dataStorage: 0.99999,
  authentication: 0.9999,
} as const;

/** Client-seen failover from primary to hot standby. */
export const FAILOVER_MS_MAX = 100;

/** Recovery time objectives. */
export const RECOVERY_MS_MAX = {
  serverFailure: 30 * SECOND,
  dataCentreOutage: 5 * MINUTE,
  corruption: 15 * MINUTE,
  networkPartition: 2 * MINUTE,
  completeLoss: HOUR,
} as const;

/** Copies of the data, and how many decide. */
export const REPLICATION = { copies: 3, quorum: 2 } as const;

/** Heartbeat monitoring between regions. */
export const HEARTBEAT = { intervalMs: 15 * SECOND, failuresMax: 3 } as const;

/** `/health`, as load balancers and client libraries probe it. */
export const HEALTH_CHECK = {
  path: '/health',
  intervalMs: 15 * SECOND,
  timeoutMs: 5 * SECOND,
  healthyAfter: 2,
  unhealthyAfter: 3,
} as const;
export const CONNECTION_DRAINING_MS = 30 * SECOND;

/** Liveness and readiness of one server, from the deployment manifest. */
export const LIVENESS = {
  path: '/health',
  intervalMs: 10 * SECOND,
  timeoutMs: 5 * SECOND,
  failuresMax: 3,
} as const;
export const READINESS = { path: '/ready', intervalMs: 5 * SECOND, failuresMax: 2 } as const;
export const SERVER_MEMORY_MB = { min: 512, max: 2_048 } as const;

/** Horizontal scaling. */
export const SCALING = {
  instancesMin: 3,
  instancesMax: 50,
  cpuUtilization: 0.7,
  memoryUtilization: 0.8,
  scaleOutDelayMs: 30 * SECOND,
  scaleInDelayMs: 300 * SECOND,
} as const;

/** Sync batches; `protocol/limits.ts` holds the wire to the same numbers and a test holds the two together. */
export const BATCH = { operationsMax: 100, waitMs: 5 * SECOND } as const;

/** Backup retention in days. */
export const RETENTION_DAYS = { hourly: 7, daily: 30, weekly: 365, offsite: 2_555 } as const;
/** Copies that may fail before it is critical. */
export const BACKUP_FAILURES_MAX = 1;

/** How far a region's journal may be behind; calls outside the client library may lose as much when every replica is
 * lost at once. */
export const JOURNAL_LAG_MS_MAX = MINUTE;

/** Service levels: latencies in milliseconds, rates as fractions. */
export const SERVICE_LEVELS = {
  apiLatencyP95Ms: 200,
  apiLatencyP99Ms: 500,
  syncLatencyP99Ms: 449,
  errorRate: 0.001,
  syncFailureRate: 0.0001,
  dataCorruptionRate: 0,
  meanTimeToRecoveryS: 120,
  meanTimeToFailureS: 720_000,
  cpuUtilization: 0.45,
  memoryUtilization: 0.62,
  diskUtilization: 0.4,
  networkSaturation: 0.15,
} as const;

export type Severity = 'warning' | 'critical' | 'page_oncall' | 'incident';

/** Alert rules. All fire above their threshold except `uptime`, which fires below. */
export const ALERTS = {
  errorRateWarning: { metric: 'error_rate', above: 0.005, severity: 'warning' },
  errorRateCritical: { metric: 'error_rate', above: 0.01, severity: 'critical' },
  syncFailures: { metric: 'sync_failures', above: 0.001, severity: 'critical' },
  dataCorruption: { metric: 'data_corruption', above: 0, severity: 'page_oncall' },
  uptime: { metric: 'uptime', below: 0.999, severity: 'incident' },
} as const satisfies Record<string, { metric: string; above?: number; below?: number; severity: Severity }>;

/** On-call: time to answer and time to resolve. */
export const SUPPORT_MS_MAX = {
  P1: { response: 15 * MINUTE, resolution: HOUR },
  P2: { response: HOUR, resolution: 4 * HOUR },
  P3: { response: 24 * HOUR, resolution: 48 * HOUR },
} as const;

/** Chaos tests: how long each fault lasts, and when they run (cron, UTC). */
export const CHAOS = {
  schedule: '0 2 1 * *',
  killPrimaryS: 30,
  fillDisk: { durationS: 60, fraction: 0.9 },
  splitBrainS: 45,
  slowNetwork: { durationS: 120, megabitsPerSecond: 10, latencyMs: 500 },
} as const;
