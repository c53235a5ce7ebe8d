// A configuration is either usable or refused with the key, what was expected and what came.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ConfigError,
  defineConfig,
  partitionOf,
  regionalName,
  regionOf,
  regionsOf,
  rolesOf,
  type StageConfig,
} from '../../config/config.ts';
import { STAGES } from '../../config/stages.ts';

const DEV = STAGES['dev'] as StageConfig;
const GOV = STAGES['gov'] as StageConfig;

/** Partial at every depth, and of any type: what somebody could write. */
type Change = { readonly [key: string]: unknown };

function changed(change: Change, base: object = DEV): StageConfig {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    const before = merged[key];
    const both = [value, before].every((it) => typeof it === 'object' && it !== null && !Array.isArray(it));
    merged[key] = both ? changed(value as Change, before as object) : value;
  }
  return merged as object as StageConfig;
}

function refusal(change: Change, stage = 'dev', base = DEV): ConfigError {
  try {
    defineConfig(stage, changed(change, base));
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: `accepted ${JSON.stringify(change)}` });
}

const REFUSED: readonly (readonly [what: string, change: Change, key: string, says: RegExp])[] = [
  ['an account that is none', { account: '1234' }, 'account', /expected twelve digits, got "1234"/],
  [
    'two equal Regions',
    { regions: { standby: 'us-east-2' } },
    'regions',
    /expected three different Regions, got \{.*"standby":"us-east-2"/,
  ],
  [
    'a Region that is none',
    { regions: { quorum: 'Ohio' } },
    'regions.quorum',
    /expected a Region code, got "Ohio"/,
  ],
  [
    'a missing Region',
    { regions: { primary: undefined } },
    'regions.primary',
    /expected a Region code, got undefined/,
  ],
  [
    'Regions of two MRSC sets',
    { regions: { quorum: 'eu-west-1' } },
    'regions',
    /expected three Regions of one MRSC set \(us-east-1, us-east-2, us-west-2 \| .*\), got \{.*eu-west-1/,
  ],
  [
    'a Region no MRSC set has',
    { regions: { quorum: 'us-west-1' } },
    'regions',
    /one MRSC set.*got \{.*us-west-1/,
  ],
  [
    'a consistency that is none',
    { consistency: 'weak' },
    'consistency',
    /expected "strong" or "eventual", got "weak"/,
  ],
  ['no consistency', { consistency: undefined }, 'consistency', /"strong" or "eventual", got undefined/],
  [
    'eventual consistency with a Region that votes',
    { consistency: 'eventual' },
    'regions.quorum',
    /expected none with eventual consistency, got "us-east-1"/,
  ],
  [
    'eventual consistency where strong can be had',
    { consistency: 'eventual', regions: { quorum: undefined } },
    'consistency',
    /expected "strong", which us-east-1, us-east-2, us-west-2 can have, got "eventual"/,
  ],
  [
    'an account for a third copy that stands in the quorum Region',
    { thirdCopyAccount: '999999999999' },
    'thirdCopyAccount',
    /none with strong consistency.*got "999999999999"/,
  ],
  [
    'a domain with no zone id',
    { domain: { hostedZoneId: '' } },
    'domain.hostedZoneId',
    /beside domain\.name, got ""/,
  ],
  ['a domain with no name', { domain: { name: '' } }, 'domain.name', /beside domain\.hostedZoneId, got ""/],
  [
    'a zone with no name',
    { domain: { hostedZoneName: '' } },
    'domain.hostedZoneName',
    /name of the hosted zone, got ""/,
  ],
  [
    'a zone id that is none',
    { domain: { hostedZoneId: 'example' } },
    'domain.hostedZoneId',
    /an id such as .*, got "example"/,
  ],
  [
    'the apex of the zone',
    { domain: { name: 'dev.eden-field.example' } },
    'domain.name',
    /a name below dev\.eden-field\.example, not the apex, got "dev\.eden-field\.example"/,
  ],
  [
    'a name outside of the zone',
    { domain: { name: 'api.example.org' } },
    'domain.name',
    /got "api\.example\.org"/,
  ],
  [
    'fewer instances than promised',
    { capacity: { instancesMin: 2 } },
    'capacity.instancesMin',
    /from 3 to 50, got 2/,
  ],
  [
    'half an instance',
    { capacity: { instancesMin: 3.5 } },
    'capacity.instancesMin',
    /a whole number from 3 to 50, got 3\.5/,
  ],
  ['no number', { capacity: { instancesMin: Number.NaN } }, 'capacity.instancesMin', /a whole number/],
  [
    'more instances than promised',
    { capacity: { instancesMax: 51 } },
    'capacity.instancesMax',
    /from 3 to 50, got 51/,
  ],
  [
    'a maximum below the minimum',
    { capacity: { instancesMin: 10, instancesMax: 9 } },
    'capacity.instancesMax',
    /from 10 to 50, got 9/,
  ],
  ['too little memory', { capacity: { memoryMb: 256 } }, 'capacity.memoryMb', /from 512 to 2048, got 256/],
  ['too much memory', { capacity: { memoryMb: 4_096 } }, 'capacity.memoryMb', /from 512 to 2048, got 4096/],
  [
    'a health check that load can starve',
    { capacity: { healthReservedConcurrency: 0 } },
    'capacity.healthReservedConcurrency',
    /got 0/,
  ],
  [
    'a reservation that a release does not fit',
    { capacity: { authorizerReservedConcurrency: 5 } },
    'capacity.authorizerReservedConcurrency',
    /from 6 to 1000, got 5/,
  ],
  [
    'a throttle that lets nobody in',
    { capacity: { requestsPerSecondMax: 0 } },
    'capacity.requestsPerSecondMax',
    /from 1 to 10000, got 0/,
  ],
  [
    'a burst beyond the account',
    { capacity: { requestBurstMax: 5_001 } },
    'capacity.requestBurstMax',
    /from 1 to 5000, got 5001/,
  ],
  ['a TTL of part of a second', { dns: { ttlMs: 20_500 } }, 'dns.ttlMs', /whole seconds, got 20500/],
  ['no TTL', { dns: { ttlMs: 0 } }, 'dns.ttlMs', /got 0/],
  [
    'the heartbeat as DNS interval',
    { dns: { checkIntervalMs: 15_000 } },
    'dns.checkIntervalMs',
    /10000 or 30000 .*got 15000/,
  ],
  [
    'one lost probe that moves everybody',
    { dns: { checkFailures: 1 } },
    'dns.checkFailures',
    /at least 3.*got 1/,
  ],
  [
    'probes slower than the heartbeat',
    { observers: { probeIntervalMs: 30_000 } },
    'observers.probeIntervalMs',
    /to 15000, got 30000/,
  ],
  [
    'probes that do not divide the minute',
    { observers: { probeIntervalMs: 7_000 } },
    'observers.probeIntervalMs',
    /divisor of the minute.*got 7000/,
  ],
  [
    'fewer failures than promised',
    { observers: { probeFailures: 2 } },
    'observers.probeFailures',
    /from 3 to 10, got 2/,
  ],
  [
    'an issuer in the clear',
    { auth: { issuer: 'http://identity.example/' } },
    'auth.issuer',
    /an https URL, got "http:/,
  ],
  ['no audience', { auth: { audience: '' } }, 'auth.audience', /a name, got ""/],
  ['no key', { auth: { keySet: { keys: [] } } }, 'auth.keySet.keys', /at least one public key, got \[\]/],
  [
    'a key without an id',
    { auth: { keySet: { keys: [{ kty: 'EC' }] } } },
    'auth.keySet.keys.0.kid',
    /a key id, got undefined/,
  ],
  ['no data', { recovery: { dataGbMax: 0 } }, 'recovery.dataGbMax', /a number above 0, got 0/],
  [
    'an endless restore',
    { recovery: { restoreGbPerMinute: Number.POSITIVE_INFINITY } },
    'recovery.restoreGbPerMinute',
    /a number above 0/,
  ],
  ['one worker', { recovery: { restoreWorkersMax: 1 } }, 'recovery.restoreWorkersMax', /from 2 to 50, got 1/],
  ['nobody on call', { onCall: { email: 'nobody' } }, 'onCall.email', /an e-mail address, got "nobody"/],
  ['logs that are not kept', { logRetentionDays: 0 }, 'logRetentionDays', /from 1 to 3653, got 0/],
];

for (const [what, change, key, says] of REFUSED)
  test(`refuses ${what}, naming ${key}`, () => {
    const error = refusal(change);
    assert.equal(error.key, key);
    assert.match(error.message, new RegExp(`^stage dev: ${key.replaceAll('.', '\\.')}: expected `));
    assert.match(error.message, says);
  });

const REFUSED_IN_GOV: typeof REFUSED = [
  [
    'strong consistency with two Regions',
    { consistency: 'strong' },
    'regions.quorum',
    /expected a Region code, got undefined/,
  ],
  [
    'strong consistency in GovCloud',
    { consistency: 'strong', regions: { quorum: 'us-gov-south-1' } },
    'regions',
    /three Regions of one MRSC set.*got \{.*us-gov-west-1/,
  ],
  ['a Region that votes', { regions: { quorum: 'us-east-1' } }, 'regions.quorum', /none .*got "us-east-1"/],
  [
    'a missing standby',
    { regions: { standby: undefined } },
    'regions.standby',
    /a Region code, got undefined/,
  ],
  [
    'one Region twice',
    { regions: { standby: 'us-gov-west-1' } },
    'regions',
    /expected two different Regions, got \{.*us-gov-west-1/,
  ],
  [
    'Regions of two partitions',
    { regions: { standby: 'ca-central-1' } },
    'regions',
    /two Regions of one partition \(aws \| aws-us-gov\), got \{.*ca-central-1/,
  ],
  [
    'Regions of a partition whose names we do not know',
    { regions: { primary: 'cn-north-1', standby: 'cn-northwest-1' } },
    'regions',
    /two Regions of one partition \(aws \| aws-us-gov\), got \{.*cn-north-1/,
  ],
  [
    'a domain',
    { domain: { name: 'api.gov.example', hostedZoneId: 'Z1', hostedZoneName: 'gov.example' } },
    'domain',
    /none with eventual consistency: DNS would move without a quorum's decision/,
  ],
  [
    'no account of its own, which the third copy lets in',
    { account: undefined },
    'account',
    /twelve digits: the third copy's account lets in the stage's by its number, got undefined/,
  ],
  [
    'no account for the third copy',
    { thirdCopyAccount: undefined },
    'thirdCopyAccount',
    /twelve digits: .*third copy of a backup.*, got undefined/,
  ],
  [
    'an account for the third copy that is none',
    { thirdCopyAccount: '99999999999' },
    'thirdCopyAccount',
    /twelve digits.*got "99999999999"/,
  ],
  [
    "the third copy in the stage's own account",
    { account: '999999999999' },
    'thirdCopyAccount',
    /another account than the stage's own, got "999999999999"/,
  ],
];

for (const [what, change, key, says] of REFUSED_IN_GOV)
  test(`with eventual consistency refuses ${what}, naming ${key}`, () => {
    const error = refusal(change, 'gov', GOV);
    assert.equal(error.key, key);
    assert.match(error.message, new RegExp(`^stage gov: ${key.replaceAll('.', '\\.')}: expected `));
    assert.match(error.message, says);
  });

test('eventual consistency is taken where no MRSC set has both Regions', () => {
  const regions = { primary: 'ca-central-1', standby: 'ca-west-1' };
  assert.deepEqual(defineConfig('canada', changed({ regions }, GOV)).regions, regions);
  const across = { primary: 'us-east-2', standby: 'eu-west-1' };
  assert.deepEqual(defineConfig('across', changed({ regions: across }, GOV)).regions, across);
});

test('roles and Regions are those a stage has', () => {
  const dev = defineConfig('dev', DEV);
  assert.deepEqual(rolesOf(dev), ['primary', 'standby', 'quorum']);
  assert.deepEqual(regionsOf(dev), ['us-east-2', 'us-west-2', 'us-east-1']);
  assert.equal(regionOf(dev, 'quorum'), 'us-east-1');
  const gov = defineConfig('gov', GOV);
  assert.deepEqual(rolesOf(gov), ['primary', 'standby']);
  assert.deepEqual(regionsOf(gov), ['us-gov-west-1', 'us-gov-east-1']);
  assert.throws(() => regionOf(gov, 'quorum'), /got quorum: it has no such Region/);
});

test('a partition is told by the Region', () => {
  for (const region of ['us-east-1', 'eu-west-3', 'il-central-1', 'ca-west-1', 'mx-central-1'])
    assert.equal(partitionOf(region), 'aws', region);
  for (const region of ['us-gov-west-1', 'us-gov-east-1']) assert.equal(partitionOf(region), 'aws-us-gov');
  for (const region of ['cn-north-1', 'us-iso-east-1', 'us-isob-east-1', 'eu-isoe-west-1'])
    assert.equal(partitionOf(region), undefined, region);
});

test('refuses a secret key without repeating it', () => {
  for (const secret of [{ d: 'very-secret' }, { k: 'very-secret' }]) {
    const { message } = refusal({ auth: { keySet: { keys: [{ kid: 'a', ...secret }] } } });
    assert.match(message, /auth\.keySet\.keys\.0: expected a public key/);
    assert.doesNotMatch(message, /very-secret/);
  }
});

test('refuses a stage whose name would not fit into other names', () => {
  for (const stage of ['', 'd', 'Dev', 'dev_1', '1dev', 'a-stage', 'averylongstagename']) {
    const { key, message } = refusal({}, stage);
    assert.equal(key, 'stage');
    assert.ok(message.includes(`got ${JSON.stringify(stage)}`));
  }
});

test('an accepted configuration is frozen to the bottom and does not change with what it was made from', () => {
  const raw = changed({});
  const config = defineConfig('dev', raw);
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' ||
    value === null ||
    (Object.isFrozen(value) && Object.values(value).every((inner) => frozen(inner)));
  assert.ok(frozen(config));
  assert.notEqual(config.capacity, raw.capacity);
  assert.equal(config.stage, 'dev');
});

test('a domain, an account: absent or whole', () => {
  const { domain: _, ...rest } = DEV;
  assert.equal(defineConfig('dev', rest).domain, undefined);
  assert.equal(defineConfig('dev', { ...DEV, account: '123456789012' }).account, '123456789012');
});

test("a Region's own name stands below the failover name", () => {
  assert.equal(regionalName('api.example.com', 'us-east-2'), 'us-east-2.api.example.com');
});
