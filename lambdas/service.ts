// What every function that touches the table is made of. Tests put their own parts in place of these.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceName } from '../protocol/metrics.ts';
import { replicaOrder } from './core/circuit.ts';
import { createStampClock, type StampClock } from './core/clock.ts';
import { noteElsewhere } from './elsewhere.ts';
import { hasQuorum, type Place, readAuditBucketsFrom, readPlace, readTableName } from './env.ts';
import { createGenerationCopy, type GenerationCopy } from './generation.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { onDemand, withPeers } from './store/audit-reach.ts';
import type { AuditStore } from './store/audit-store.ts';
import { createDynamoDBStore } from './store/dynamodb-store.ts';
import {
  type AtOneReplica,
  createReplicatedStore,
  REPLICA_ATTEMPTS,
  type Replica,
} from './store/replicas.ts';
import type { Store } from './store/store.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';

export interface Service {
  readonly place: Place;
  /** Through this region's replica; in functions that serve, through another's while this one fails. */
  readonly store: Store;
  /** Through this region's replica and no other: for what must say how that one is. */
  readonly own: Store;
  /** For what reads an index, and so has to judge the feed of the region it reads. */
  readonly atOneReplica: AtOneReplica;
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
  /** Resolves after that many ms. */
  readonly wait: (ms: number) => Promise<void>;
}

/** What functions need that put conflicts to the vote (PROTOCOL §4). */
export interface VotingService extends Service {
  /** Puts into this region's bucket; reads from it, then from the others'. */
  readonly audit: AuditStore;
}

/** From the environment, for functions that work with their own region's replica and no other. */
export function createService(service: ServiceName): Service {
  const place = readPlace();
  return assemble({
    place,
    store: createDynamoDBStore({
      client: createDynamoDBClient(),
      tableName: readTableName(),
      ...throughOf(place, place.region),
    }),
    telemetry: createTelemetry(place, service),
  });
}

/** From the environment, for functions that serve: another region's replica answers while the own one fails. */
export function createServingService(service: ServiceName): Service {
  const place = readPlace();
  const telemetry = createTelemetry(place, service);
  const { own, atOneReplica, ...store } = createReplicatedStore({
    replicas: regionalReplicas(place),
    // Unlike the time of day it never steps.
    now: () => performance.now(),
    onElsewhere: noteElsewhere,
    onAvoided: (region, kind, why) => telemetry.warn('a replica is avoided', { region, kind, why }),
  });
  return assemble({ place, telemetry, store, own, atOneReplica });
}

/** As {@link createServingService}, for functions that settle operations. */
export function createVotingService(service: ServiceName): VotingService {
  const serving = createServingService(service);
  return { ...serving, audit: createAudit(serving.place.region) };
}

/** The own region's first. Each has a client of its own, which votes share. */
function regionalReplicas(place: Place): readonly Replica[] {
  const { region: own, regions } = place;
  const tableName = readTableName();
  const peers = new Map(
    replicaOrder(regions, own).map((region) => [region, createDynamoDBClient({ region })]),
  );
  return [...peers].map(([region, client]) => {
    const limits = REPLICA_ATTEMPTS[region === own ? 'own' : 'other'];
    const store = createDynamoDBStore({ client, tableName, peers, ...throughOf(place, region), ...limits });
    return { region, store };
  });
}

/** What writes through a region's replica have to say, so that reconcilers can tell a successor from a stranger. */
function throughOf(place: Place, region: string): { readonly through?: string } {
  return hasQuorum(place) ? {} : { through: region };
}

/** Loaded on demand: the S3 client would more than double the time a function takes to start, for conflicts only. */
function createAudit(region: string): AuditStore {
  const { own, peers } = readAuditBucketsFrom(region);
  return onDemand(async () => {
    const { createS3AuditStore, createS3Client } = await import('./store/s3-audit-store.ts');
    const storeIn = (at: string, bucket: string) =>
      createS3AuditStore({ client: createS3Client({ region: at }), bucket });
    return withPeers(
      storeIn(region, own),
      Object.entries(peers).map(([at, bucket]) => storeIn(at, bucket)),
    );
  });
}

/** The own region's audit bucket, for functions that seldom put anything there. Loaded on demand: see above. */
export function createOwnAudit(region: string): AuditStore {
  const { own } = readAuditBucketsFrom(region);
  return onDemand(async () => {
    const { createS3AuditStore, createS3Client } = await import('./store/s3-audit-store.ts');
    return createS3AuditStore({ client: createS3Client({ region }), bucket: own });
  });
}

/** Names this environment in the versions it stamps (PROTOCOL 1.3): 16 hex digits. */
export function assemble({
  place,
  store,
  telemetry,
  own = store,
  atOneReplica = (read) => read(store, place.region),
  now = Date.now,
  random = Math.random,
  wait = sleep,
  instanceId = randomBytes(8).toString('hex'),
}: Pick<Service, 'place' | 'store' | 'telemetry'> &
  Partial<Pick<Service, 'own' | 'atOneReplica' | 'now' | 'random' | 'wait'>> & {
    readonly instanceId?: string;
  }): Service {
  return {
    place,
    store,
    own,
    atOneReplica,
    telemetry,
    now,
    random,
    wait,
    generation: createGenerationCopy(store, now),
    commits: createStampClock(instanceId),
    versions: createStampClock(instanceId),
  };
}
