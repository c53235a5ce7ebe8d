// A stage's configuration: raw values in, one frozen object out, or an error that names the key, what was expected
// and what came. Whatever cannot meet the promises does not get past here (recovery.ts).
import { HEARTBEAT, LIVENESS, SCALING, SERVER_MEMORY_MB } from './promises.ts';
import { assertRecoverable } from './recovery.ts';

/** Regions DynamoDB offers multi-Region strong consistency in: all three copies come from one set.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html */
export const MRSC_REGION_SETS = {
  US: ['us-east-1', 'us-east-2', 'us-west-2'],
  EU: ['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-central-1'],
  AP: ['ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3'],
} as const satisfies Record<string, readonly string[]>;

export type Role = 'primary' | 'standby' | 'quorum';
export const ROLES: readonly Role[] = ['primary', 'standby', 'quorum'];

/** What a stage states. Times in milliseconds, sizes as named. */
export interface StageConfig {
  /** Twelve digits; without it a stack goes to whichever account deploys it. */
  readonly account?: string;
  readonly regions: Readonly<Record<Role, string>>;
  /** Global table consistency; `strong` needs all three regions in one MRSC set. */
  readonly consistency: 'strong';
  /** A public hosted zone of one's own. Without it there are no custom names and no DNS failover: clients that hold
   * both endpoints fail over by themselves all the same. */
  readonly domain?: {
    /** The failover name, e.g. `api.example.com`; regional names are `<region>.<name>`. */
    readonly name: string;
    readonly hostedZoneId: string;
    /** The zone's own name, which `name` ends in. */
    readonly hostedZoneName: string;
  };
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
    /** Sustained restore rate of the whole data set. */
    readonly restoreGbPerMinute: number;
    /** A full pass of the scrubber's sample, and the time to put damaged records back. */
    readonly scrubIntervalMs: number;
    readonly repairMs: number;
  };
  readonly onCall: { readonly email: string };
  /** Days logs are kept. */
  readonly logRetentionDays: number;
  /** Whether stateful resources survive the deletion of their stack, and refuse it. */
  readonly retainData: boolean;
}

export interface Config extends StageConfig {
  readonly stage: string;
}

/** A configuration that cannot be used. `key` is the dotted path of the value at fault. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly key: string;
  constructor(stage: string, key: string, expected: string, got: unknown) {
    super(`stage ${stage}: ${key}: expected ${expected}, got ${JSON.stringify(got)}`);
    this.key = key;
  }
}

/**
 * Checks and freezes a stage's configuration.
 * @throws ConfigError a value is out of range or contradicts another
 * @throws RecoveryError the intervals, thresholds and TTLs cannot meet a recovery time objective
 */
export function defineConfig(stage: string, raw: StageConfig): Config {
  const fail = (key: string, expected: string, got: unknown): never => {
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

  for (const role of ROLES) {
    const region = raw.regions[role];
    if (typeof region !== 'string' || !/^[a-z]{2}(-[a-z]+)+-\d$/.test(region))
      fail(`regions.${role}`, 'a Region code', region);
  }
  const regions = ROLES.map((role) => raw.regions[role]);
  if (new Set(regions).size !== ROLES.length) fail('regions', 'three different Regions', raw.regions);
  if (raw.consistency !== 'strong') fail('consistency', '"strong"', raw.consistency);
  const sets: readonly (readonly string[])[] = Object.values(MRSC_REGION_SETS);
  if (!sets.some((set) => regions.every((region) => set.includes(region))))
    fail(
      'regions',
      `three Regions of one MRSC set (${sets.map((set) => set.join(', ')).join(' | ')})`,
      raw.regions,
    );

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
  positive('recovery.scrubIntervalMs', recovery.scrubIntervalMs);
  positive('recovery.repairMs', recovery.repairMs);
  if (!/^[^@\s]+@[^@\s]+$/.test(raw.onCall.email))
    fail('onCall.email', 'an e-mail address', raw.onCall.email);
  within('logRetentionDays', raw.logRetentionDays, 1, 3_653);

  const config = deepFreeze({ ...structuredClone(raw), stage });
  assertRecoverable(config);
  return config;
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
