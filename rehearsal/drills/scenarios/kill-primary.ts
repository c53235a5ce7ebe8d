// Kill the primary, then freeze it: the promise of failover in under 100 ms, and the slower path of DNS beside it.
import { FAILOVER_MS_MAX } from '../../../config/promises.ts';
import { dnsFailoverMs } from '../../../config/recovery.ts';
import { runFailover } from '../failover/run.ts';
import type { Acts, FailoverPlan } from '../failover/scenario.ts';
import type { Scenario } from '../scenario.ts';
import { NOBODY_HARMED } from './failover-limits.ts';

/** What the client library allows itself. */
const ATTEMPTS_PER_OPERATION_MAX = 1.1;
const FAULT_MS_MIN = 10_000;

export const KILL_PRIMARY: FailoverPlan = {
  name: 'kill-primary',
  load: { requestsPerSecond: 200, writeShare: 0.25, dnsRequestsPerSecond: 5 },
  warmUpMs: 15_000,
  settleMs: 3_000,
  variants: [
    { name: 'SIGKILL', role: 'primary', done: 'killed', act: breaking('kill', FAULT_MS_MIN) },
    { name: 'SIGSTOP', role: 'primary', done: 'frozen', act: breaking('freeze', FAULT_MS_MIN) },
  ],
  leaves: true,
  limits: (config) => ({
    ...NOBODY_HARMED,
    redirectMs: FAILOVER_MS_MAX,
    attemptsPerOperation: ATTEMPTS_PER_OPERATION_MAX,
    dnsOutageMs: dnsFailoverMs(config),
  }),
};

/** The fault lasts at least this long, and until the DNS-only client is served again. */
export function breaking(fault: 'kill' | 'freeze', faultMsMin: number) {
  return async (acts: Acts): Promise<void> => {
    await acts.fault('primary', fault);
    await acts.pause(faultMsMin);
    await acts.untilDnsServedBy('standby', acts.dnsWithinMs);
    await acts.revive('primary');
  };
}

export const killPrimary: Scenario = {
  name: KILL_PRIMARY.name,
  title: 'The primary region is killed, then frozen',
  about:
    'A killed process closes its connections, a frozen one answers nothing and closes nothing. Clients of the library are to reach the standby within 100 ms, with nothing failed and nothing acknowledged lost; a client that knows only the failover name waits for DNS.',
  variants: KILL_PRIMARY.variants.map(({ name }) => name),
  run: (fresh, options) => runFailover(KILL_PRIMARY, fresh, options),
};
