// A stage's configuration: raw values in, one frozen object out, or an error that names the key, what was expected
// and what came. Whatever cannot meet the promises does not get past here (recovery.ts).
import { HEARTBEAT, LIVENESS, SCALING, SERVER_MEMORY_MB } from './promises.ts';
import { assertRecoverable } from './recovery.ts';
import { checkWriteRate } from './write-rate.ts';

/** Regions DynamoDB offers multi-Region strong consistency in: all three copies come from one set.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html */
export const MRSC_REGION_SETS = {
  US: ['us-east-1', 'us-east-2', 'us-west-2'],
  EU: ['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-central-1'],
  AP: ['ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3'],
} as const satisfies Record<string, readonly string[]>;

export type Role = 'primary' | 'standby' | 'quorum';
export const ROLES: readonly Role[] = ['primary', 'standby', 'quorum'];

/** Names of one's own in a public hosted zone of one's own. */
export interface Domain {
  /** The failover name, e.g. `api.example.com`; regional names are `<region>.<name>`. */
  readonly name: string;
  readonly hostedZoneId: string;
  /** The zone's own name, which `name` ends in. */
  readonly hostedZoneName: string;
}

/** What every stage states. Times in milliseconds, sizes as named. */
interface StageSettings {
  /** Twelve digits; without it a stack goes to whichever account deploys it. */
  readonly account?: string;
  readonly capacity: {
    /** Provisioned concurrency of each serving function in each serving region, so that either can carry all. */
    readonly instancesMin: number;
    readonly instancesMax: number;
    readonly memoryMb: number;
    /** Kept free for `/health` and for the authorizer, so that load cannot starve them. */
    readonly healthReservedConcurrency: number;
    readonly authorizerReservedConcurrency: number;
    /** API Gateway stage throttle. */
    readonly requestsPerSecondMax: number;
    readonly requestBurstMax: number;
  };
  readonly dns: {
    readonly ttlMs: number;
    /** Route 53 knows 10 s and 30 s only. */
    readonly checkIntervalMs: 10_000 | 30_000;
    readonly checkFailures: number;
  };
  readonly observers: { readonly probeIntervalMs: number; readonly probeFailures: number };
  readonly auth: {
    readonly issuer: string;
    readonly audience: string;
    /** JWK Set with public keys only (RFC 7517); pinned, so that an identity provider's outage does not become ours. */
    readonly keySet: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  };
  readonly recovery: {
    /** Largest data set the stage may hold; a restore of it must fit the complete-loss objective. */
    readonly dataGbMax: number;
    /** Sustained restore rate of the whole data set; what the table can take at most is in write-rate.ts. */
    readonly restoreGbPerMinute: number;
    /** What a write unit carries on average, in bytes: of smaller items less than it could. @default 1024 */
    readonly bytesPerWriteUnit?: number;
    /** Write units a second that the table can take from its first moment on; it costs once, and above 40,000 only once
     * AWS has raised the account's quota. @default 4,000, as of any new table that is paid for on demand */
    readonly warmWriteUnitsPerSecond?: number;
    /** Tasks of a restore that the restore function of a Region does at once. */
    readonly restoreWorkersMax: number;
    /** How often the scrubber looks through items, in whole minutes, and the time to put damaged records back. */
    readonly scrubIntervalMs: number;
    readonly repairMs: number;
    /** Items that the scrubber of a Region looks at in order each time; docs/ARCHITECTURE.md says how long it then takes
     * to go over all of them. @default 200,000 */
    readonly scrubItems?: number;
  };
  readonly onCall: { readonly email: string };
  /** Days logs are kept. */
  readonly logRetentionDays: number;
  /** Whether stateful resources survive the deletion of their stack, and refuse it. */
  readonly retainData: boolean;
}

/** Three strongly consistent replicas, of which two decide: the default, and what the promises are made for. */
export interface StrongStage extends StageSettings {
  readonly consistency: 'strong';
  /** All of one MRSC set. */
  readonly regions: Readonly<Record<Role, string>>;
  /** Without it there are no custom names, no DNS failover and no move of the service by itself (promises-kept.ts):
   * clients that hold both endpoints fail over by themselves all the same. */
  readonly domain?: Domain;
  readonly thirdCopyAccount?: never;
}

/** Two eventually consistent replicas, where there is no third Region to decide; what that costs is said by
 * promises-kept.ts. Refused where `strong` could be had. */
export interface EventualStage extends StageSettings {
  readonly consistency: 'eventual';
  /** Both of one partition. */
  readonly regions: Readonly<Record<'primary' | 'standby', string>> & { readonly quorum?: never };
  /** DNS would move everybody without a quorum's decision, and back again. */
  readonly domain?: never;
  /** Stated, since the policies of the other account name it. */
  readonly account: string;
  /** Twelve digits, of another account than the stage's: where the third copy of a backup goes, in place of the
   * quorum Region. */
  readonly thirdCopyAccount: string;
}

export type StageConfig = StrongStage | EventualStage;
export type Config = StageConfig & { readonly stage: string };

/** A configuration that cannot be used. `key` is the dotted path of the value at fault. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly key: string;
  constructor(stage: string, key: string, expected: string, got: unknown) {
    super(`stage ${stage}: ${key}: expected ${expected}, got ${JSON.stringify(got)}`);
    this.key = key;
  }
}

type Fail = (key: string, expected: string, got: unknown) => never;

/**
 * Checks and freezes a stage's configuration.
 * @throws ConfigError a value is out of range or contradicts another
 * @throws RecoveryError the intervals, thresholds and TTLs cannot meet a recovery time objective
 */
export function defineConfig(stage: string, raw: StageConfig): Config {
  const fail: Fail = (key, expected, got) => {
    throw new ConfigError(stage, key, expected, got);
  };
  const within = (key: string, value: number, min: number, max: number) => {
    // Written so that NaN and fractions fail too.
    if (!(Number.isInteger(value) && value >= min && value <= max))
      fail(key, `a whole number from ${min} to ${max}`, value);
  };
  const positive = (key: string, value: number) => {
    if (!(Number.isFinite(value) && value > 0)) fail(key, 'a number above 0', value);
  };

  if (!/^[a-z][a-z0-9]{1,11}$/.test(stage)) fail('stage', '2 to 12 lower-case letters and digits', stage);
  if (raw.account !== undefined && !/^\d{12}$/.test(raw.account))
    fail('account', 'twelve digits', raw.account);

  checkReplication(raw, fail);

  if (raw.domain) {
    const { name, hostedZoneId, hostedZoneName } = raw.domain;
    if (!name) fail('domain.name', 'a DNS name beside domain.hostedZoneId', name);
    if (!hostedZoneId) fail('domain.hostedZoneId', 'a hosted zone id beside domain.name', hostedZoneId);
    if (!/^Z[A-Z0-9]{1,31}$/.test(hostedZoneId))
      fail('domain.hostedZoneId', 'an id such as Z0123456789ABC', hostedZoneId);
    if (!hostedZoneName) fail('domain.hostedZoneName', 'the name of the hosted zone', hostedZoneName);
    // A CNAME cannot stand at the apex, and the failover records are CNAMEs because an alias has no TTL to set.
    if (!name.endsWith(`.${hostedZoneName}`))
      fail('domain.name', `a name below ${hostedZoneName}, not the apex`, name);
  }

  const { capacity, dns, observers, recovery } = raw;
  within('capacity.instancesMin', capacity.instancesMin, SCALING.instancesMin, SCALING.instancesMax);
  within('capacity.instancesMax', capacity.instancesMax, capacity.instancesMin, SCALING.instancesMax);
  within('capacity.memoryMb', capacity.memoryMb, SERVER_MEMORY_MB.min, SERVER_MEMORY_MB.max);
  within('capacity.healthReservedConcurrency', capacity.healthReservedConcurrency, 2, 1_000);
  // During a release the old and the new version are warm side by side inside the reservation.
  within(
    'capacity.authorizerReservedConcurrency',
    capacity.authorizerReservedConcurrency,
    2 * capacity.instancesMin,
    1_000,
  );
  within('capacity.requestsPerSecondMax', capacity.requestsPerSecondMax, 1, 10_000);
  within('capacity.requestBurstMax', capacity.requestBurstMax, 1, 5_000);
  within('dns.ttlMs', dns.ttlMs, 1_000, 3_600_000);
  if (dns.ttlMs % 1_000 !== 0) fail('dns.ttlMs', 'whole seconds', dns.ttlMs);
  if (dns.checkIntervalMs !== 10_000 && dns.checkIntervalMs !== 30_000)
    fail('dns.checkIntervalMs', '10000 or 30000 (Route 53 knows no other)', dns.checkIntervalMs);
  within('dns.checkFailures', dns.checkFailures, 1, 10);
  if (dns.checkFailures < LIVENESS.failuresMax)
    fail(
      'dns.checkFailures',
      `at least ${LIVENESS.failuresMax}, so that one lost probe moves nobody`,
      dns.checkFailures,
    );
  within('observers.probeIntervalMs', observers.probeIntervalMs, 1_000, HEARTBEAT.intervalMs);
  if (60_000 % observers.probeIntervalMs !== 0)
    fail(
      'observers.probeIntervalMs',
      'a divisor of the minute an observer is invoked every',
      observers.probeIntervalMs,
    );
  within('observers.probeFailures', observers.probeFailures, HEARTBEAT.failuresMax, 10);
  if (!/^https:\/\//.test(raw.auth.issuer)) fail('auth.issuer', 'an https URL', raw.auth.issuer);
  if (!raw.auth.audience) fail('auth.audience', 'a name', raw.auth.audience);
  if (!(raw.auth.keySet.keys.length > 0))
    fail('auth.keySet.keys', 'at least one public key', raw.auth.keySet.keys);
  for (const [index, key] of raw.auth.keySet.keys.entries()) {
    if (typeof key['kid'] !== 'string') fail(`auth.keySet.keys.${index}.kid`, 'a key id', key['kid']);
    if ('d' in key || 'k' in key)
      fail(`auth.keySet.keys.${index}`, 'a public key, not a secret one', '(not shown)');
  }
  positive('recovery.dataGbMax', recovery.dataGbMax);
  positive('recovery.restoreGbPerMinute', recovery.restoreGbPerMinute);
  checkWriteRate(recovery, within, fail);
  positive('recovery.scrubIntervalMs', recovery.scrubIntervalMs);
  positive('recovery.repairMs', recovery.repairMs);
  if (recovery.scrubItems !== undefined) within('recovery.scrubItems', recovery.scrubItems, 1_000, 400_000);
  if (!/^[^@\s]+@[^@\s]+$/.test(raw.onCall.email))
    fail('onCall.email', 'an e-mail address', raw.onCall.email);
  within('logRetentionDays', raw.logRetentionDays, 1, 3_653);

  const config = deepFreeze({ ...structuredClone(raw), stage });
  assertRecoverable(config);
  return config;
}

/** Which Regions, how many copies, and who decides between them. */
function checkReplication(raw: StageConfig, fail: Fail): void {
  const { account, domain, thirdCopyAccount, regions: stated } = raw;
  const consistency: string = raw.consistency;
  const eventual = consistency === 'eventual';
  if (!eventual && consistency !== 'strong') fail('consistency', '"strong" or "eventual"', consistency);
  for (const role of ROLES) {
    const region: unknown = stated[role];
    if (eventual && role === 'quorum') {
      if (region !== undefined) fail('regions.quorum', 'none with eventual consistency', region);
    } else if (typeof region !== 'string' || !/^[a-z]{2}(-[a-z]+)+-\d$/.test(region))
      fail(`regions.${role}`, 'a Region code', region);
  }
  const regions = regionsOf(raw);
  if (new Set(regions).size !== regions.length)
    fail('regions', `${eventual ? 'two' : 'three'} different Regions`, stated);
  const sets: readonly (readonly string[])[] = Object.values(MRSC_REGION_SETS);
  const strongSet = sets.find((set) => regions.every((region) => set.includes(region)));
  if (!eventual) {
    const all = sets.map((set) => set.join(', ')).join(' | ');
    if (!strongSet) fail('regions', `three Regions of one MRSC set (${all})`, stated);
    if (thirdCopyAccount !== undefined)
      fail(
        'thirdCopyAccount',
        'none with strong consistency: the quorum Region holds the third copy',
        thirdCopyAccount,
      );
    return;
  }
  const partitions = new Set(regions.map(partitionOf));
  if (partitions.size !== 1 || partitions.has(undefined))
    fail('regions', `two Regions of one partition (${Object.keys(PARTITIONS).join(' | ')})`, stated);
  // The safe default is not given up where it can be had.
  if (strongSet) fail('consistency', `"strong", which ${strongSet.join(', ')} can have`, consistency);
  if (domain !== undefined)
    fail('domain', "none with eventual consistency: DNS would move without a quorum's decision", domain);
  if (account === undefined)
    fail('account', "twelve digits: the third copy's account lets in the stage's by its number", account);
  if (!/^\d{12}$/.test(thirdCopyAccount ?? ''))
    fail(
      'thirdCopyAccount',
      'twelve digits: with two Regions the third copy of a backup stands in another account',
      thirdCopyAccount,
    );
  if (thirdCopyAccount === account)
    fail('thirdCopyAccount', "another account than the stage's own", thirdCopyAccount);
}

/** The Regions a stage has, the primary first. */
export function regionsOf({ regions }: Pick<StageConfig, 'regions'>): readonly string[] {
  return ROLES.flatMap((role) => regions[role] ?? []);
}

/** The roles a stage has a Region for. */
export function rolesOf({ regions }: Pick<StageConfig, 'regions'>): readonly Role[] {
  return ROLES.filter((role) => regions[role] !== undefined);
}

/** The Region of a role; throws for the quorum's where there is none, since nothing may be deployed there then. */
export function regionOf({ regions }: Pick<StageConfig, 'regions'>, role: Role): string {
  const region = regions[role];
  if (region === undefined)
    throw new RangeError(
      `expected one of the roles of this stage (primary, standby), got ${role}: it has no such Region`,
    );
  return region;
}

/**
 * Where the offsite copy stands. Without a quorum Region it is the standby's Region, in an account of its own: when the
 * primary's Region is lost, the replica that lives is the standby's, and the copies that are left are next to it; and the
 * Region that serves nobody has the time to make them.
 */
export function offsiteRegionOf(config: Config): string {
  return regionOf(config, config.consistency === 'strong' ? 'quorum' : 'standby');
}

/** Partitions whose names and endpoints the stacks are right for.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html */
const PARTITIONS = {
  aws: /^(?!cn-|us-gov-|[a-z]{2}-iso)/,
  'aws-us-gov': /^us-gov-/,
} as const;

/** Undefined for a Region of any other partition. */
export function partitionOf(region: string): keyof typeof PARTITIONS | undefined {
  if (PARTITIONS['aws-us-gov'].test(region)) return 'aws-us-gov';
  return PARTITIONS.aws.test(region) ? 'aws' : undefined;
}

/** The failover name's regional sibling, which DNS checks and clients that pin a region use. */
export function regionalName(domainName: string, region: string): string {
  return `${region}.${domainName}`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
