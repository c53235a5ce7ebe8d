// What every function that touches the table is made of. Tests put their own parts in place of these.
import { randomBytes } from 'node:crypto';
import type { DynamoDBClientConfig } from '@aws-sdk/client-dynamodb';
import type { ServiceName } from '../protocol/metrics.ts';
import { createStampClock, type StampClock } from './core/clock.ts';
import { type Place, readPlace, readTableName } from './env.ts';
import { createGenerationCopy, type GenerationCopy } from './generation.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { createDynamoDBStore } from './store/dynamodb-store.ts';
import type { Store } from './store/store.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';

export interface Service {
  readonly place: Place;
  readonly store: Store;
  readonly generation: GenerationCopy;
  /** Stamps commit versions. */
  readonly commits: StampClock;
  /** Stamps the versions of edits whose author has no clock. */
  readonly versions: StampClock;
  readonly telemetry: Telemetry;
  /** Unix ms. */
  readonly now: () => number;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
}

/** From the environment. `client` is for tests; on Lambda the runtime says where and as whom. */
export function createService(service: ServiceName, client?: DynamoDBClientConfig): Service {
  const place = readPlace();
  return assemble({
    place,
    store: createDynamoDBStore({ client: createDynamoDBClient(client), tableName: readTableName() }),
    telemetry: createTelemetry(place, service),
  });
}

/** Names this environment in the versions it stamps (PROTOCOL 1.3): 16 hex digits. */
export function assemble({
  place,
  store,
  telemetry,
  now = Date.now,
  random = Math.random,
  instanceId = randomBytes(8).toString('hex'),
}: Pick<Service, 'place' | 'store' | 'telemetry'> &
  Partial<Pick<Service, 'now' | 'random'>> & { readonly instanceId?: string }): Service {
  return {
    place,
    store,
    telemetry,
    now,
    random,
    generation: createGenerationCopy(store, now),
    commits: createStampClock(instanceId),
    versions: createStampClock(instanceId),
  };
}
