// The functions, as data: what each is for, how long it may take, what it may do to the table, and how it is kept
// ready. Constructs read this; nothing else says any of it.

/** What a function may do to the table: exactly the calls its code makes. */
export type TableAction = 'GetItem' | 'BatchGetItem' | 'UpdateItem';

export interface TableNeeds {
  readonly actions: readonly TableAction[];
  /** Queries index `feed`. */
  readonly feed?: true;
  /** All three replicas: votes and fallback read the other two (PROTOCOL 4.1). Otherwise the Region's own. */
  readonly everyRegion?: true;
}

export interface FunctionSpec {
  /** Metric dimension `Service`. */
  readonly service: 'api' | 'sync' | 'authentication' | 'observer' | 'deployment';
  readonly timeoutS: number;
  readonly table?: TableNeeds;
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
    usesKey: true,
    warm: true,
    canary: true,
  },
  push: {
    service: 'sync',
    timeoutS: GATEWAY_TIMEOUT_S,
    table: { actions: ['GetItem', 'UpdateItem'], everyRegion: true },
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
  // Probes and beats for the whole minute it is invoked for, and then has to finish (DESIGN §4).
  observer: {
    service: 'observer',
    timeoutS: 90,
    table: { actions: ['GetItem', 'UpdateItem'], feed: true },
  },
  // Two readiness checks 5 s apart, each of which may take as long as the API lets it.
  pretraffic: { service: 'deployment', timeoutS: 90 },
} as const satisfies Record<string, FunctionSpec>;

export type FunctionName = keyof typeof FUNCTIONS;

/** The functions of a serving Region that a release moves traffic between. */
export const CANARY_FUNCTIONS = ['records', 'push', 'pull', 'authorizer', 'health', 'ready'] as const;
