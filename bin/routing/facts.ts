// What an operator's command knows at one moment, gathered from everybody at once. Whoever does not answer is in it as
// silent, and keeps nobody else from being heard.
import type { RoutingState } from '../../protocol/routing.ts';
import {
  type DnsLook,
  type HealthLook,
  lookAtDns,
  lookAtHealth,
  lookAtReady,
  type ReadyLook,
} from './looks.ts';
import { type Replica, type ReplicaAnswer, reasonOf } from './table.ts';
import { servingOf, type Where } from './where.ts';

export interface Facts {
  /** Unix ms, from before anybody was asked. */
  readonly at: number;
  readonly primary: string;
  readonly standby: string;
  readonly replicas: readonly ReplicaSeen[];
  /** Of the replica with the highest epoch; see {@link heard}. */
  readonly routing: RoutingState | undefined;
  /** Whether any replica said what the routing state is. */
  readonly heard: boolean;
  readonly restoreEpoch: number;
  /** Of the serving regions. */
  readonly health: Readonly<Record<string, HealthLook>>;
  readonly ready: Readonly<Record<string, ReadyLook>>;
  readonly dns: DnsLook;
}

export interface ReplicaSeen {
  readonly region: string;
  /** Absent when it does not answer. */
  readonly answer?: ReplicaAnswer;
  /** Why it does not; empty when it does. */
  readonly why: string;
  readonly tookMs: number;
}

/** Takes as long as the slowest, at most about 5 s. */
export async function gather(where: Where, replicas: readonly Replica[], now: () => number): Promise<Facts> {
  const { primary, standby } = servingOf(where);
  const at = now();
  const [seen, health, ready, dns] = await Promise.all([
    Promise.all(replicas.map(seenOf)),
    Promise.all([primary, standby].map((it) => lookAtHealth(it.health))),
    Promise.all([primary, standby].map((it) => lookAtReady(it.ready))),
    lookAtDns(where.dns),
  ]);
  const answers = seen.flatMap(({ answer }) => (answer ? [answer] : []));
  const byRegion = <T>(looks: readonly T[]) =>
    Object.fromEntries([primary, standby].map(({ region }, n) => [region, looks[n] as T]));
  return {
    at,
    primary: primary.region,
    standby: standby.region,
    replicas: seen,
    routing: latestOf(answers.map(({ routing }) => routing)),
    heard: answers.length > 0,
    restoreEpoch: Math.max(0, ...answers.map(({ restoreEpoch }) => restoreEpoch)),
    health: byRegion(health),
    ready: byRegion(ready),
    dns,
  };
}

function latestOf(states: readonly (RoutingState | undefined)[]): RoutingState | undefined {
  return states.reduce((best, state) => ((state?.epoch ?? 0) > (best?.epoch ?? 0) ? state : best), undefined);
}

async function seenOf(replica: Replica): Promise<ReplicaSeen> {
  const { region } = replica;
  const beganAt = performance.now();
  const tookMs = () => Math.round(performance.now() - beganAt);
  try {
    const answer = await replica.answer();
    return { region, answer, why: '', tookMs: tookMs() };
  } catch (error) {
    return { region, why: reasonOf(error), tookMs: tookMs() };
  }
}
