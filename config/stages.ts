// The stages, as plain values. Copy one, change what is yours, and `-c stage=<name>` deploys it.
// The domain, hosted zone, issuer, keys and address below are examples that nobody owns: replace them first.
import type { StageConfig } from './config.ts';

const MINUTE = 60_000;

const dev: StageConfig = {
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
  recovery: { dataGbMax: 100, restoreGbPerMinute: 3, scrubIntervalMs: 5 * MINUTE, repairMs: 8 * MINUTE },
  onCall: { email: 'on-call@dev.eden-field.example' },
  logRetentionDays: 30,
  retainData: false,
};

const prod: StageConfig = {
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
  onCall: { email: 'on-call@eden-field.example' },
  logRetentionDays: 365,
  retainData: true,
};

export const STAGES: Readonly<Record<string, StageConfig>> = { dev, prod };
