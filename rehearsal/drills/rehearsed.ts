// The rehearsal as the system that is drilled: one after the other, each with nothing done to it yet.
import { rm } from 'node:fs/promises';
import { ROUTING_KEY, type StoredItem } from '../../protocol/items.ts';
import { routingStateOf } from '../../protocol/routing-items.ts';
import { assemblyOf } from '../assembly/synthesis.ts';
import { credentialsOf, OPERATOR } from '../aws/credentials.ts';
import { preciseNow } from '../measuring.ts';
import type { LinkConditions } from '../supervisor/link.ts';
import { type Rehearsal, startRehearsal } from '../supervisor/rehearsal.ts';
import { operatorOf } from './operator.ts';
import { DrillError, type FreshOptions, type StoredSystem, type TableAccess } from './system.ts';
import { TableCalls } from './table-calls.ts';
import { withoutObservers } from './unobserved.ts';

export interface RehearsalsOptions {
  readonly stage: string;
  readonly dns: boolean;
  /** Whether anything calls the observers. */
  readonly observers: boolean;
  readonly onStep: (step: string) => void;
}

/** Longer than any drill. */
const TOKEN_TTL_S = 6 * 3_600;
const TENANT = 'drill';

export class Rehearsals {
  readonly #options: RehearsalsOptions;
  readonly #signal: AbortSignal;
  #running: { readonly rehearsal: Rehearsal; readonly calls: TableCalls } | undefined;
  #unobserved: string | undefined;

  constructor(options: RehearsalsOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** Ends the one that runs and starts another. */
  async fresh(options: FreshOptions | (() => FreshOptions) = {}): Promise<StoredSystem> {
    await this.#end();
    const { stage, onStep } = this.#options;
    const assemblyDir = await this.#assembly();
    const how = typeof options === 'function' ? options() : options;
    const rehearsal = await startRehearsal(
      { stage, assemblyDir, console: false, onStep, ...how },
      this.#signal,
    );
    const table = tableOf(rehearsal, stage);
    const calls = new TableCalls(table);
    this.#running = { rehearsal, calls };
    return systemOf(rehearsal, table, calls, this.#options);
  }

  async stop(): Promise<void> {
    await this.#end();
    if (this.#unobserved !== undefined) await rm(this.#unobserved, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.calls.close();
    await running?.rehearsal.stop();
  }

  /** The stage's own, up to date; or, made once, the one without observers. */
  async #assembly(): Promise<string> {
    const { stage, onStep, observers } = this.#options;
    if (this.#unobserved !== undefined) return this.#unobserved;
    const assemblyDir = await assemblyOf(stage, { onStep, signal: this.#signal });
    if (observers) return assemblyDir;
    this.#unobserved = await withoutObservers(assemblyDir);
    return this.#unobserved;
  }
}

function tableOf({ deployment, regions, aws }: Rehearsal, stage: string): TableAccess {
  const quorum = regions.find(({ role }) => role === 'quorum')?.region;
  const [table] = deployment.ofType('AWS::DynamoDB::GlobalTable');
  if (quorum === undefined || table === undefined)
    throw new DrillError(`stage ${stage} has no ${table === undefined ? 'table' : 'quorum region'}`);
  return {
    endpoint: aws.endpoint,
    region: quorum,
    tableName: table.physicalId,
    credentials: credentialsOf(OPERATOR, quorum),
  };
}

function systemOf(
  rehearsal: Rehearsal,
  table: TableAccess,
  calls: TableCalls,
  options: Pick<RehearsalsOptions, 'stage' | 'dns'>,
): StoredSystem {
  const { failoverName, resolver, regions } = rehearsal;
  const dns = options.dns && failoverName !== undefined ? { name: failoverName, resolver } : undefined;
  const quorum = regions.find(({ role }) => role === 'quorum')?.region;
  const usual = new Map<string, LinkConditions>();
  const page = `eden-field-${options.stage}-failover-page`;
  return {
    regions: regions.flatMap(({ region, role, endpoint }) =>
      role === 'quorum' || endpoint === undefined ? [] : [{ region, role, endpoint }],
    ),
    ...(quorum === undefined ? {} : { quorum }),
    ...(dns ? { dns } : {}),
    token: (tenant = TENANT) => rehearsal.token({ tenant, ttlS: TOKEN_TTL_S }),
    fault: (region, fault, into) => rehearsal.fault(region, fault, into),
    cutWay(from, to, cut) {
      rehearsal.cutWay(from, to, cut);
      return preciseNow();
    },
    disableLatch(disabled) {
      const check = rehearsal.state().healthChecks.find(({ kind }) => kind === 'alarm');
      if (check === undefined) throw new DrillError('no health check follows an alarm');
      rehearsal.disableHealthCheck(check.id, disabled);
    },
    async routing() {
      const { Item } = await calls.call<{ Item?: StoredItem }>('DynamoDB_20120810.GetItem', {
        TableName: table.tableName,
        Key: { pk: { S: ROUTING_KEY.pk }, sk: { S: ROUTING_KEY.sk } },
        ConsistentRead: true,
      });
      return Item && routingStateOf(Item);
    },
    observers: regions.map(({ region }) => region),
    reports: () => rehearsal.state().routing?.reports,
    paging: () =>
      rehearsal
        .state()
        .alarms.filter(({ name, state }) => name === page && state === 'ALARM')
        .map(({ region }) => region),
    operator: operatorOf(rehearsal),
    way(region, conditions) {
      const link = rehearsal.link('client', region);
      if (link === undefined) throw new DrillError(`no client reaches ${region}`);
      const before = usual.get(region) ?? link.conditions;
      usual.set(region, before);
      link.change(conditions === 'usual' ? before : conditions);
    },
    table,
    breakBucket: rehearsal.breakBucket,
    rot: rehearsal.rot,
    damage: rehearsal.damage,
    wipe: rehearsal.wipe,
    plantRecords: rehearsal.plantRecords,
    runSchedule: rehearsal.runSchedule,
    clockAheadMs: rehearsal.clockAheadMs,
    state: rehearsal.state,
    listen: rehearsal.listen,
    measured: rehearsal.measured,
    deployment: rehearsal.deployment,
    broken: rehearsal.broken,
  };
}
