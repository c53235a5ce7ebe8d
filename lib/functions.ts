// The functions, as data: what each is for, how long it may take, what it may do to the table and to the audit buckets,
// and how it is kept ready. Constructs read this; nothing else says any of it.

import { scrubberKey } from '../protocol/items.ts';
import type { ServiceName } from '../protocol/metrics.ts';

/** What a function may do to the table: exactly the calls its code makes. */
export type TableAction = 'GetItem' | 'BatchGetItem' | 'Scan' | 'PutItem' | 'UpdateItem' | 'DeleteItem';

export interface TableNeeds {
  readonly actions: readonly TableAction[];
  /** Updates the items under these partition keys, by the Region it runs in, and no others. */
  readonly updates?: (region: string) => readonly string[];
  /** Queries index `feed`. */
  readonly feed?: true;
  /** Queries index `tombstones`. */
  readonly tombstones?: true;
  /** Reads the stream of the Region's own replica. */
  readonly stream?: true;
  /** All three replicas: votes and fallback read the other two (PROTOCOL 4.1). Otherwise the Region's own. */
  readonly everyRegion?: true;
}

export type ObjectAction = 'PutObject' | 'GetObject';

/** What a function may do to the Region's audit bucket (PROTOCOL 2, 4.3; DESIGN §4). */
export interface AuditNeeds {
  /** @default none of them */
  readonly entries?: readonly ObjectAction[];
  /** Losing payloads too large for an entry. @default none of them */
  readonly payloads?: readonly ObjectAction[];
  /** Changes of the routing state. @default none of them */
  readonly routing?: readonly ObjectAction[];
  /** Reads entries and payloads in the other two Regions' buckets. */
  readonly peers?: true;
}

export interface FunctionSpec {
  /** Metric dimension `Service`. */
  readonly service: ServiceName;
  readonly timeoutS: number;
  /** @default `capacity.memoryMb` */
  readonly memoryMb?: number;
  /** Of Node.js, as `NODE_OPTIONS`: https://nodejs.org/api/cli.html#node_optionsoptions @default its own */
  readonly nodeOptions?: string;
  readonly table?: TableNeeds;
  readonly audit?: AuditNeeds;
  /** Writes the journal into the backup buckets. */
  readonly journal?: true;
  /** Called by a schedule, and what one call does. */
  readonly schedule?: {
    /** `configured`: as often as its stage says. */
    readonly every: 'minute' | 'quarter' | 'hour' | 'configured';
    readonly does: string;
  };
  /** Checks that it can use the Region's key, for `/ready`. */
  readonly usesKey?: true;
  /** Kept warm by provisioned concurrency, from `capacity.instancesMin` to `capacity.instancesMax`. */
  readonly warm?: true;
  /** Released by canary, after its own readiness check. */
  readonly canary?: true;
  /** Concurrency nobody else can take. */
  readonly reserved?: 'health' | 'authorizer';
}

/** API Gateway gives up after 29 s; a function that takes longer works for nobody. */
const GATEWAY_TIMEOUT_S = 28;
/** Route 53 waits 4 s for a connection and 2 s for an answer:
 * https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html */
const HEALTH_TIMEOUT_S = 5;

export const FUNCTIONS = {
  records: {
    service: 'api',
    timeoutS: GATEWAY_TIMEOUT_S,
    table: { actions: ['GetItem', 'BatchGetItem', 'UpdateItem'], feed: true, everyRegion: true },
    audit: { entries: ['PutObject', 'GetObject'], payloads: ['PutObject', 'GetObject'], peers: true },
    usesKey: true,
    warm: true,
    canary: true,
  },
  push: {
    service: 'sync',
    timeoutS: GATEWAY_TIMEOUT_S,
    table: { actions: ['GetItem', 'UpdateItem'], everyRegion: true },
    audit: { entries: ['PutObject'], payloads: ['PutObject'] },
    usesKey: true,
    warm: true,
    canary: true,
  },
  pull: {
    service: 'sync',
    timeoutS: GATEWAY_TIMEOUT_S,
    table: { actions: ['GetItem', 'BatchGetItem'], feed: true, everyRegion: true },
    usesKey: true,
    warm: true,
    canary: true,
  },
  authorizer: {
    service: 'authentication',
    timeoutS: 5,
    warm: true,
    canary: true,
    reserved: 'authorizer',
  },
  health: {
    service: 'api',
    timeoutS: HEALTH_TIMEOUT_S,
    table: { actions: ['GetItem'] },
    canary: true,
    reserved: 'health',
  },
  ready: {
    service: 'api',
    timeoutS: GATEWAY_TIMEOUT_S,
    table: { actions: ['GetItem', 'UpdateItem'] },
    usesKey: true,
    canary: true,
    reserved: 'health',
  },
  describe: { service: 'api', timeoutS: 5 },
  // Probes and beats for the whole minute it is invoked for, and then has to finish: a look at 55 s whose probes are
  // refused late may take 40 s until it has voted (DESIGN §4).
  observer: {
    service: 'observer',
    timeoutS: 120,
    table: { actions: ['GetItem', 'UpdateItem'], feed: true },
    audit: { routing: ['PutObject'] },
    schedule: { every: 'minute', does: 'One minute of observation' },
  },
  // Archives and journals. A batch is at most 6 MB; a journal whose own bucket hangs has given up on it, and on the
  // others', after a minute (lambdas/journal.ts).
  archiver: {
    service: 'audit',
    timeoutS: 120,
    table: { actions: ['GetItem', 'UpdateItem'], stream: true },
    audit: { entries: ['PutObject', 'GetObject'], payloads: ['PutObject', 'GetObject'], peers: true },
    journal: true,
  },
  // In place of the archiver where two replicas follow each other: archives, then brings the replicas together.
  reconciler: {
    service: 'audit',
    timeoutS: 120,
    table: { actions: ['GetItem', 'UpdateItem'], stream: true },
    audit: { entries: ['PutObject', 'GetObject'], payloads: ['PutObject', 'GetObject'], peers: true },
    journal: true,
  },
  // Works for half of this and leaves the rest to the next hour (lambdas/routes/sweeper.ts).
  sweeper: {
    service: 'maintenance',
    timeoutS: 300,
    table: { actions: ['GetItem', 'UpdateItem', 'DeleteItem'], tombstones: true },
    audit: { entries: ['PutObject'] },
    schedule: { every: 'hour', does: 'Tombstones that are old enough go' },
  },
  // Asks for exports and leaves; waits up to half of this for a moment to become restorable (lambdas/routes/backup.ts).
  backup: { service: 'backup', timeoutS: 300, table: { actions: ['GetItem', 'UpdateItem'] } },
  // Works for two thirds of this, and leaves the rest of a backup to the next call (lambdas/routes/verification.ts). What
  // the audit archive lacks by the journal's word it brings from the others'. Left alone V8 doubles its young generation
  // while there is much to read, whatever little of it lives; the benchmark holds what a large backup takes (`bench`).
  verification: {
    service: 'verification',
    timeoutS: 900,
    nodeOptions: '--max-semi-space-size=8',
    table: { actions: ['GetItem', 'UpdateItem'] },
    audit: { entries: ['PutObject', 'GetObject'], payloads: ['PutObject', 'GetObject'], peers: true },
    schedule: { every: 'quarter', does: 'Backups are proven, file by file, and the journal is kept whole' },
  },
  // Works for half of this, or for as many items as its stage says (lambdas/routes/scrubber.ts).
  scrubber: {
    service: 'scrubber',
    timeoutS: 240,
    table: { actions: ['GetItem', 'Scan'], updates: (region) => [scrubberKey(region).pk] },
    schedule: { every: 'configured', does: 'Items are held against their hashes' },
  },
  // Works at a task for two thirds of this (lambdas/routes/restore.ts). Holds the index of what changed in a day, and has
  // more than one processor to unpack, hash and send at once.
  restore: {
    service: 'restore',
    timeoutS: 300,
    memoryMb: 2_048,
    table: { actions: ['GetItem', 'PutItem'] },
  },
  // Two readiness checks 5 s apart, each of which may take as long as the API lets it.
  pretraffic: { service: 'deployment', timeoutS: 90 },
} as const satisfies Record<string, FunctionSpec>;

export type FunctionName = keyof typeof FUNCTIONS;

/** The functions of a serving Region that a release moves traffic between. */
export const CANARY_FUNCTIONS = ['records', 'push', 'pull', 'authorizer', 'health', 'ready'] as const;
