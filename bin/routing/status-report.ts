// What `npm run status` tells, gathered from whoever can be asked; who cannot is listed with why.
import type { ObserverReport } from '../../protocol/routing.ts';
import { type Facts, gather } from './facts.ts';
import { dnsBy, type HealthCheck, healthChecksBy, lookAtDns } from './looks.ts';
import { healthChecksOnAws } from './route53.ts';
import { openReplicas, type Replica, reasonOf } from './table.ts';
import { servingOf, type Where } from './where.ts';

export interface Status {
  /** Unix ms. */
  readonly at: number;
  /** Whom all this is about, in words. */
  readonly of: string;
  /** Absent where there is none, as on AWS. */
  readonly resolver?: string;
  /** Where DNS leads; absent where the name has no answer, or there is no name to ask for. */
  readonly active?: { readonly name: string; readonly region: string; readonly ttlS: number };
  readonly healthChecks: readonly HealthCheck[];
  /** Absent when there was no table to ask. */
  readonly seen?: Seen;
  /** Each thing of which nothing could be learned, with why. */
  readonly notAsked: Readonly<Record<string, string>>;
}

export interface Seen {
  readonly table: string;
  readonly facts: Facts;
  readonly regions: readonly { readonly region: string; readonly role: string }[];
  /** `why` there is no report. */
  readonly observers: readonly {
    readonly region: string;
    readonly report?: ObserverReport;
    readonly why?: string;
  }[];
}

/**
 * @param callMsMax of one call to a replica. @default 4000
 * @throws {Error} the resolver of a rehearsal does not answer: then nothing of it runs
 */
export async function statusOf(where: Where, now: () => number, callMsMax?: number): Promise<Status> {
  const [dns, seen] = await Promise.all([dnsStatus(where), seenOf(where, now, callMsMax)]);
  return { at: now(), of: where.name, ...dns, ...(seen && { seen }) };
}

async function dnsStatus({
  dns,
}: Where): Promise<Pick<Status, 'resolver' | 'active' | 'healthChecks' | 'notAsked'>> {
  if (dns.kind === 'resolver') {
    const { url, name } = dns;
    const healthChecks = await healthChecksBy(url);
    if (name === undefined) return { resolver: url, healthChecks, notAsked: {} };
    const { region, ttlS = 0 } = await dnsBy(url, name);
    return {
      resolver: url,
      ...(region !== undefined && { active: { name, region, ttlS } }),
      healthChecks,
      notAsked: {},
    };
  }
  if (dns.kind === 'none') return { healthChecks: [], notAsked: { dns: dns.why, healthChecks: dns.why } };
  const [look, { checks = [], why }] = await Promise.all([lookAtDns(dns), healthChecksOnAws(dns.checks)]);
  const { region, ttlS = 0 } = look;
  return {
    ...(region !== undefined && { active: { name: dns.name, region, ttlS } }),
    healthChecks: checks,
    notAsked: {
      ...(region === undefined && { dns: look.why }),
      ...(why !== undefined && { healthChecks: why }),
    },
  };
}

async function seenOf(
  where: Where,
  now: () => number,
  callMsMax: number | undefined,
): Promise<Seen | undefined> {
  const { table, regions } = where;
  if (!table) return undefined;
  servingOf(where);
  const names = regions.map(({ region }) => region);
  const { replicas, close } = openReplicas(table, names, callMsMax);
  try {
    const facts = await gather(where, replicas, now);
    // Those that just answered are asked, the others would only take their time.
    const heard = replicas.filter((_, n) => facts.replicas[n]?.answer);
    const reports = names.map(async (region) => ({ region, ...(await reportOf(region, heard)) }));
    return {
      table: table.name,
      facts,
      regions: regions.map(({ region, role }) => ({ region, role })),
      observers: await Promise.all(reports),
    };
  } finally {
    close();
  }
}

/** From the first replica that has it whole: with strong consistency they all have the same. */
async function reportOf(
  observer: string,
  replicas: readonly Replica[],
): Promise<{ readonly report: ObserverReport } | { readonly why: string }> {
  let why = 'no replica answers';
  for (const replica of replicas) {
    try {
      const report = await replica.report(observer);
      return report ? { report } : { why: 'it never reported' };
    } catch (error) {
      why = reasonOf(error);
    }
  }
  return { why };
}
