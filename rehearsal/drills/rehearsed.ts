// The rehearsal as the system that is drilled.
import { credentialsOf, OPERATOR } from '../aws/credentials.ts';
import type { LinkConditions } from '../supervisor/link.ts';
import { startRehearsal } from '../supervisor/rehearsal.ts';
import { DrillError, type SyncedSystem } from './system.ts';

export interface RehearsedSystem extends SyncedSystem {
  stop(): Promise<void>;
}

/** Longer than any drill. */
const TOKEN_TTL_S = 6 * 3_600;
const TENANT = 'drill';

export async function rehearsedSystem(
  options: { stage: string; dns: boolean; onStep: (step: string) => void },
  signal: AbortSignal,
): Promise<RehearsedSystem> {
  const { stage, onStep } = options;
  const rehearsal = await startRehearsal({ stage, console: false, onStep }, signal);
  const { failoverName, resolver, deployment, regions, aws } = rehearsal;
  const dns = options.dns && failoverName !== undefined ? { name: failoverName, resolver } : undefined;
  const quorum = regions.find(({ role }) => role === 'quorum')?.region;
  const [table] = deployment.ofType('AWS::DynamoDB::GlobalTable');
  if (quorum === undefined || table === undefined)
    throw new DrillError(`stage ${stage} has no ${table === undefined ? 'table' : 'quorum region'}`);
  const usual = new Map<string, LinkConditions>();
  return {
    regions: regions.flatMap(({ region, role, endpoint }) =>
      role === 'quorum' || endpoint === undefined ? [] : [{ region, role, endpoint }],
    ),
    ...(dns ? { dns } : {}),
    token: (tenant = TENANT) => rehearsal.token({ tenant, ttlS: TOKEN_TTL_S }),
    fault: (region, fault) => rehearsal.fault(region, fault),
    way(region, conditions) {
      const link = rehearsal.link('client', region);
      if (link === undefined) throw new DrillError(`no client reaches ${region}`);
      const before = usual.get(region) ?? link.conditions;
      usual.set(region, before);
      link.change(conditions === 'usual' ? before : conditions);
    },
    table: {
      endpoint: aws.endpoint,
      region: quorum,
      tableName: table.physicalId,
      credentials: credentialsOf(OPERATOR, quorum),
    },
    broken: rehearsal.broken,
    stop: () => rehearsal.stop(),
  };
}
