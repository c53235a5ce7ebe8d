// The functions of the three regions: the shipped routes, stores and clocks, on the simulated table. A region has
// several execution environments, each with a clock that is somewhat off and a memory that a cold start loses.
import { replicaOrder } from '../../lambdas/core/circuit.ts';
import type { Place, Role } from '../../lambdas/env.ts';
import { httpHandler, type ProxyEvent } from '../../lambdas/http.ts';
import { createArchiver, type StreamEvent } from '../../lambdas/routes/archiver.ts';
import { createObserver } from '../../lambdas/routes/observer.ts';
import { pullRoutes } from '../../lambdas/routes/pull.ts';
import { pushRoutes } from '../../lambdas/routes/push.ts';
import { recordsRoutes } from '../../lambdas/routes/records.ts';
import { createSweeper } from '../../lambdas/routes/sweeper.ts';
import { assemble, type Service, type VotingService } from '../../lambdas/service.ts';
import { withPeers } from '../../lambdas/store/audit-reach.ts';
import { createDynamoDBStore } from '../../lambdas/store/dynamodb-store.ts';
import { createReplicatedStore, REPLICA_ATTEMPTS } from '../../lambdas/store/replicas.ts';
import type { Store } from '../../lambdas/store/store.ts';
import type { Telemetry } from '../../lambdas/telemetry.ts';
import type { Buckets } from './buckets.ts';
import type { Dice } from './dice.ts';
import { SimulatedDynamoDB, type StoreFaults } from './dynamodb.ts';
import type { HttpResult } from './network.ts';
import type { Scheduler } from './scheduler.ts';
import type { Table } from './table.ts';

export const REGIONS: Readonly<Record<Role, string>> = {
  primary: 'us-east-2',
  standby: 'us-west-2',
  quorum: 'us-east-1',
};
export const ALL_REGIONS = Object.values(REGIONS);
export const SERVING_REGIONS = [REGIONS.primary, REGIONS.standby];
const TABLE_NAME = 'simulated';

export interface FunctionParts {
  readonly scheduler: Scheduler;
  readonly table: Table;
  readonly buckets: Buckets;
  readonly dice: Dice;
  readonly faults: () => StoreFaults;
  /** Of a clock that is off by so many ms, drawn for every environment. */
  readonly skewMs: () => number;
  readonly onLog: (line: () => string) => void;
  /** A region whose own replica does not answer, though the network does. */
  readonly isBroken: (region: string) => boolean;
}

interface Environment {
  readonly service: VotingService;
  readonly handle: (event: ProxyEvent) => Promise<HttpResult>;
}

export class RegionFunctions {
  readonly region: string;
  readonly #parts: FunctionParts;
  readonly #place: Place;
  #environments: Environment[] = [];
  #archiver: ((event: StreamEvent) => Promise<{ readonly batchItemFailures: readonly object[] }>) | undefined;

  constructor(role: Role, parts: FunctionParts) {
    this.#parts = parts;
    this.region = REGIONS[role];
    this.#place = { stage: 'dev', role, region: this.region, regions: REGIONS };
  }

  async serve(event: ProxyEvent): Promise<HttpResult> {
    const { dice } = this.#parts;
    while (this.#environments.length < 2) this.#environments.push(this.#serving());
    return dice.pick(this.#environments).handle(event);
  }

  /** New environments from now on: what the old ones knew and how far they had stamped is gone. */
  coldStart(): void {
    this.#environments = [];
    this.#archiver = undefined;
  }

  /** One minute of observing. */
  observe(): Promise<void> {
    const service = this.#own();
    // No change is ever made here, so there is none to archive.
    return createObserver({
      ...service,
      archive: async () => {},
      wait: (ms) => this.#parts.scheduler.wait(ms),
    })();
  }

  sweep(): Promise<void> {
    return createSweeper({ ...this.#own(), audit: this.#parts.buckets.store(this.region, this.region) })();
  }

  /** A batch of this region's stream; the records that failed. */
  archive(event: StreamEvent): Promise<{ readonly batchItemFailures: readonly object[] }> {
    this.#archiver ??= createArchiver({
      ...this.#own(),
      audits: {
        own: this.#parts.buckets.store(this.region, this.region),
        peers: new Map(this.#others().map((peer) => [peer, this.#parts.buckets.store(peer, this.region)])),
      },
      wait: (ms) => this.#parts.scheduler.wait(ms),
    });
    return this.#archiver(event);
  }

  #others(): readonly string[] {
    return ALL_REGIONS.filter((region) => region !== this.region);
  }

  /** For functions that work with their own region's replica. */
  #own(): Service {
    const { store } = this.#storeAt(this.region);
    return this.#assemble({ store });
  }

  #serving(): Environment {
    const { scheduler, buckets } = this.#parts;
    const { own, atOneReplica, ...store } = createReplicatedStore({
      replicas: this.#replicas(),
      now: () => scheduler.nowMs,
      onAvoided: (region, kind, why) =>
        this.#parts.onLog(() => `${this.region} avoids the ${kind} of ${region}: ${why}`),
    });
    const service: VotingService = {
      ...this.#assemble({ store, own, atOneReplica }),
      audit: withPeers(
        buckets.store(this.region, this.region),
        this.#others().map((peer) => buckets.store(peer, this.region)),
      ),
    };
    const handler = httpHandler(
      { ...pushRoutes(service), ...pullRoutes(service), ...recordsRoutes(service) },
      service,
    );
    const handle = async (event: ProxyEvent): Promise<HttpResult> => {
      const { statusCode, headers = {}, body } = await handler(event);
      return { status: statusCode, headers: headers as Record<string, string>, body };
    };
    return { service, handle };
  }

  #replicas() {
    const [own = this.#storeAt(this.region), ...others] = replicaOrder(REGIONS, this.region).map((region) =>
      this.#storeAt(region),
    );
    return [own, ...others] as const;
  }

  #storeAt(region: string): { readonly region: string; readonly store: Store } {
    const peers = new Map(replicaOrder(REGIONS, this.region).map((at) => [at, this.#clientAt(at)]));
    const limits = REPLICA_ATTEMPTS[region === this.region ? 'own' : 'other'];
    const client = this.#clientAt(region);
    return { region, store: createDynamoDBStore({ client, tableName: TABLE_NAME, peers, ...limits }) };
  }

  #clientAt(region: string) {
    const { table, scheduler, dice, faults, isBroken } = this.#parts;
    return new SimulatedDynamoDB({
      region,
      table,
      scheduler,
      dice,
      faults,
      isReachable: () => table.areLinked(this.region, region) && !isBroken(region),
    }).client();
  }

  #assemble(parts: Pick<Service, 'store'> & Partial<Pick<Service, 'own' | 'atOneReplica'>>): Service {
    const { scheduler, dice } = this.#parts;
    const skewMs = this.#parts.skewMs();
    return assemble({
      ...parts,
      place: this.#place,
      telemetry: this.#telemetry(),
      now: () => Math.floor(scheduler.nowMs + skewMs),
      random: () => dice.next(),
      wait: (ms) => scheduler.wait(ms),
      instanceId: dice.hex(8),
    });
  }

  #telemetry(): Telemetry {
    const { onLog } = this.#parts;
    return {
      warn: (message, facts = {}) => onLog(() => `${this.region} warns: ${message} ${JSON.stringify(facts)}`),
      error: (message, error, facts = {}) =>
        onLog(() => `${this.region} failed: ${message}: ${String(error)} ${JSON.stringify(facts)}`),
      measure: () => {},
    };
  }
}
