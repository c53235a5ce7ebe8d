// The stages, as plain values. Copy one, change what is yours, and `-c stage=<name>` deploys it.
// The domain, hosted zone, issuer, keys, address and accounts below are examples that nobody owns: replace them
// first.
import type { EventualStage, StageConfig, StrongStage } from './config.ts';

const MINUTE = 60_000;

const dev: StrongStage = {
  // us-east-1 votes but does not serve: its outages are the large ones.
  regions: { primary: 'us-east-2', standby: 'us-west-2', quorum: 'us-east-1' },
  consistency: 'strong',
  domain: {
    name: 'api.dev.eden-field.example',
    hostedZoneId: 'Z0DEVEXAMPLE1',
    hostedZoneName: 'dev.eden-field.example',
  },
  capacity: {
    instancesMin: 3,
    instancesMax: 50,
    memoryMb: 512,
    healthReservedConcurrency: 10,
    authorizerReservedConcurrency: 100,
    requestsPerSecondMax: 1_000,
    requestBurstMax: 500,
  },
  dns: { ttlMs: 20_000, checkIntervalMs: 10_000, checkFailures: 3 },
  observers: { probeIntervalMs: 15_000, probeFailures: 3 },
  auth: {
    issuer: 'https://identity.dev.eden-field.example/',
    audience: 'eden-field-dev',
    keySet: {
      keys: [
        {
          kty: 'EC',
          crv: 'P-256',
          x: '3UGfHheSDFCI9hSkuDH30yjXTIoY-0Y8z6daihZVDgs',
          y: '0uz4-HfOlh6oDU_VZ1nhoR0jnabPAQuTiVYOBHUv254',
          kid: 'dev-replace-me',
          alg: 'ES256',
          use: 'sig',
        },
      ],
    },
  },
  recovery: {
    // What a new table takes without being kept ready for more.
    dataGbMax: 10,
    restoreGbPerMinute: 0.24,
    restoreWorkersMax: 10,
    scrubIntervalMs: 5 * MINUTE,
    repairMs: 8 * MINUTE,
  },
  onCall: { email: 'on-call@dev.eden-field.example' },
  logRetentionDays: 30,
  retainData: false,
};

const prod: StrongStage = {
  ...dev,
  domain: {
    name: 'api.eden-field.example',
    hostedZoneId: 'Z0PRODEXAMPLE',
    hostedZoneName: 'eden-field.example',
  },
  capacity: {
    ...dev.capacity,
    memoryMb: 1_024,
    healthReservedConcurrency: 50,
    authorizerReservedConcurrency: 200,
    requestsPerSecondMax: 5_000,
    requestBurstMax: 2_500,
  },
  auth: {
    issuer: 'https://identity.eden-field.example/',
    audience: 'eden-field',
    keySet: {
      keys: [
        {
          kty: 'EC',
          crv: 'P-256',
          x: 'cU0duiIQ6QBjn94gJNQs9ZsA-BbsRRSz58e-Ed8zGGo',
          y: 'dYM_H3WpV6MmYJucwvwpJLIeVTkNbr65l5nLG77Z01w',
          kid: 'prod-replace-me',
          alg: 'ES256',
          use: 'sig',
        },
      ],
    },
  },
  recovery: {
    ...dev.recovery,
    dataGbMax: 100,
    restoreGbPerMinute: 2.4,
    warmWriteUnitsPerSecond: 40_000,
    restoreWorkersMax: 50,
  },
  onCall: { email: 'on-call@eden-field.example' },
  logRetentionDays: 365,
  retainData: true,
};

/** GovCloud has two Regions and no multi-Region strong consistency: docs/GOVCLOUD.md says what that costs. */
const gov: EventualStage = {
  capacity: prod.capacity,
  dns: prod.dns,
  observers: prod.observers,
  recovery: prod.recovery,
  logRetentionDays: prod.logRetentionDays,
  retainData: prod.retainData,
  regions: { primary: 'us-gov-west-1', standby: 'us-gov-east-1' },
  consistency: 'eventual',
  account: '111111111111',
  thirdCopyAccount: '999999999999',
  auth: {
    issuer: 'https://identity.gov.eden-field.example/',
    audience: 'eden-field-gov',
    keySet: {
      keys: [
        {
          kty: 'EC',
          crv: 'P-256',
          x: 'Qj5y-hZDfuAVCJkOGWn5DLWgghc0qW2u12UnMRWyuGY',
          y: 'IiMj246F7YbWWAeOE-K2mljMtsKjMlDbKiJHDNJzzWk',
          kid: 'gov-replace-me',
          alg: 'ES256',
          use: 'sig',
        },
      ],
    },
  },
  onCall: { email: 'on-call@gov.eden-field.example' },
};

export const STAGES: Readonly<Record<string, StageConfig>> = { dev, prod, gov };
