// The rehearsal as the system that is drilled.
import { startRehearsal } from '../supervisor/rehearsal.ts';
import type { DrilledSystem } from './system.ts';

export interface RehearsedSystem extends DrilledSystem {
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
  const { failoverName, resolver } = rehearsal;
  const dns = options.dns && failoverName !== undefined ? { name: failoverName, resolver } : undefined;
  return {
    regions: rehearsal.regions.flatMap(({ region, role, endpoint }) =>
      role === 'quorum' || endpoint === undefined ? [] : [{ region, role, endpoint }],
    ),
    ...(dns ? { dns } : {}),
    token: () => rehearsal.token({ tenant: TENANT, ttlS: TOKEN_TTL_S }),
    fault: (region, fault) => rehearsal.fault(region, fault),
    broken: rehearsal.broken,
    stop: () => rehearsal.stop(),
  };
}
