// What watches the regions from outside: the alarms over what they publish, Route 53's checks and records, the
// resolver that can be asked, and an eye on the failover name whose answer everybody wants to know.

import { AlarmBoard } from '../cloudwatch.ts';
import { preciseNow } from '../measuring.ts';
import type { Cleanup } from '../supervisor/cleanup.ts';
import type { Network } from '../supervisor/network.ts';
import { serveNear } from '../supervisor/ports.ts';
import type { FailoverAnswer } from '../supervisor/state.ts';
import type { Timeline } from '../supervisor/timeline.ts';
import type { Topology } from '../supervisor/topology.ts';
import { probeEndpoint } from './health-checks.ts';
import { createResolver } from './resolver.ts';
import { Route53 } from './route53.ts';

export interface DnsOptions {
  readonly topology: Topology;
  readonly network: Network;
  readonly alarms: AlarmBoard;
  readonly endpointOf: (region: string) => string | undefined;
  readonly port: number;
  readonly timeline: Timeline;
}

export interface Dns {
  readonly route53: Route53;
  /** URL of the resolver. */
  readonly resolver: string;
  /** Absent when the stage has no domain. */
  failover(): FailoverAnswer | undefined;
}

/** CloudWatch evaluates once a minute; looking more often shows a change as soon as the minute is over. */
const ALARMS_EVERY_MS = 1_000;
const WATCH_EVERY_MS = 250;

/** Alarms of a deployment, before anything has published. */
export function alarmsOf({ alarms }: Topology): AlarmBoard {
  return new AlarmBoard(alarms, Date.now());
}

export async function startDns(options: DnsOptions, cleanup: Cleanup): Promise<Dns> {
  const { topology, network, alarms, endpointOf, timeline } = options;
  const route53 = new Route53({
    checks: topology.healthChecks,
    records: topology.records,
    alarmState: (region, name) => alarms.stateOf(region, name)?.state,
    probe: async (check, region, signal) => {
      const port = network.link('checkers', region)?.port;
      return port === undefined
        ? { ok: false, text: `${region} serves nobody` }
        : probeEndpoint(port, check, signal);
    },
    onChange: ({ id, name, healthy, why }) =>
      timeline.add({ type: 'healthCheck', at: preciseNow(), id, name, healthy, why }),
  });
  route53.start();
  cleanup.add(() => route53.stop());

  const failover = () => failoverAnswer(route53, topology.failoverName);
  let last = failover();
  if (last) timeline.add({ type: 'routing', at: preciseNow(), answer: last });
  const watch = setInterval(() => {
    const now = failover();
    if (now && now.region !== last?.region) timeline.add({ type: 'routing', at: preciseNow(), answer: now });
    last = now;
  }, WATCH_EVERY_MS);
  const evaluate = setInterval(() => {
    for (const { region, name, state, why } of alarms.evaluate(Date.now()))
      timeline.add({ type: 'alarm', at: preciseNow(), region, name, state, why });
  }, ALARMS_EVERY_MS);
  cleanup.add(() => {
    clearInterval(watch);
    clearInterval(evaluate);
  });

  const server = createResolver({ route53, endpointOf });
  const resolver = await serveNear(server, options.port, cleanup);
  return { route53, resolver, failover };
}

function failoverAnswer(route53: Route53, name: string | undefined): FailoverAnswer | undefined {
  if (name === undefined) return undefined;
  const found = route53.resolve(name, 'A');
  const [cname] = found?.answers ?? [];
  return cname && found?.region !== undefined
    ? { name, target: cname.data, region: found.region, ttlS: cname.ttlS }
    : undefined;
}
