// A status for people, section by section, each with whose word it is; and for programs.
import type { ObserverReport, RoutingChange, RoutingState, Vote } from '../../protocol/routing.ts';
import { activeIn, ageOfBeats, reasonOfMove, whyUnsteady } from './plan.ts';
import type { Seen, Status } from './status-report.ts';
import { lasting, since } from './words.ts';

const CHANGES_SHOWN = 10;
/** Wide enough for a Region's code. */
const REGION = 14;

export function statusInWords(status: Status): string {
  const { seen, active, healthChecks, resolver, notAsked } = status;
  const blocks = seen ? [routingWords(seen), [dnsWords(status)]] : [[dnsWords(status)]];
  if (seen)
    blocks.push(
      observerWords(seen),
      regionWords(seen),
      healthCheckWords(healthChecks, resolver, notAsked['healthChecks']),
      replicationWords(seen),
      changeWords(seen),
    );
  else blocks.push(healthCheckWords(healthChecks, resolver, notAsked['healthChecks']));
  const { routing } = seen?.facts ?? {};
  if (active && seen && activeIn(seen.facts) !== active.region)
    blocks[1]?.push(
      routing?.draining?.to === active.region
        ? '  that is where the active region is being left for'
        : '  that is not the active region: DNS follows within a minute or two, or a check is wrong',
    );
  return blocks.map((lines) => lines.join('\n')).join('\n\n');
}

function dnsWords({ active, notAsked, seen }: Status): string {
  if (notAsked['dns'] !== undefined) return `DNS: not known: ${notAsked['dns']}`;
  if (!active) {
    const none = 'there is no failover name, or it has no answer';
    return seen ? `DNS: ${none}` : `nobody is active by DNS: ${none}`;
  }
  const leads = `${active.name} leads there (TTL ${active.ttlS} s)`;
  return seen
    ? `DNS: ${active.name} leads to ${active.region} (TTL ${active.ttlS} s)`
    : `${active.region} is active: ${leads}`;
}

function routingWords({ facts, table }: Seen): string[] {
  const { routing, primary, heard, at } = facts;
  const source = `  by the routing state in table ${table}, consistent reads of every replica`;
  if (!heard) return ['who is active is not known: no replica answers a consistent read', source];
  if (!routing)
    return [`${primary} is active: it is the primary, and nothing ever moved (no routing state)`, source];
  const role =
    routing.activeRegion === primary ? 'the primary' : 'not the primary: it stays until a failback';
  const lines = [`${routing.activeRegion} is active (${role}), epoch ${routing.epoch}`];
  if (routing.since > 0)
    lines.push(`  since ${since(routing.since, at)}: ${reasonOfMove(routing)}`, ...voteWords(routing, at));
  else lines.push('  nothing ever moved');
  if (routing.draining)
    lines.push(
      `  DRAINING towards ${routing.draining.to} for ${lasting(at - routing.draining.since)}: jobs that must run once run nowhere meanwhile`,
    );
  return [...lines, source];
}

/** Those that decided the latest move. */
function voteWords({ changes }: RoutingState, nowMs: number): string[] {
  const move = changes.find(({ what }) => what === 'move');
  if (!move) return [];
  if (move.votes.length === 0)
    return [`  by ${move.by === 'operator' ? 'an operator' : move.by}, without votes`];
  return move.votes.map((vote) => `  vote of ${voteText(vote, nowMs)}`);
}

function voteText({ observer, against, at, emergency, why }: Vote, nowMs: number): string {
  return `${observer} against ${against}, ${lasting(nowMs - at)} ago${emergency ? ' (emergency)' : ''}: ${why}`;
}

function observerWords({ observers, facts }: Seen): string[] {
  const lines = ['observers, by their own reports in the same table'];
  for (const { region, report, why } of observers)
    if (report) lines.push(...reportWords(report, facts.at));
    else lines.push(`  ${region.padEnd(REGION)}${why}`);
  return lines;
}

function reportWords({ observer, at, watched, abstains, vote }: ObserverReport, nowMs: number): string[] {
  const lines = [`  ${observer.padEnd(REGION)}last look ${lasting(nowMs - at)} ago`];
  for (const [region, { failures, since: from, why }] of Object.entries(watched))
    lines.push(
      `    ${region.padEnd(REGION)}${failures === 0 ? 'ready' : `NOT READY ${failures} in a row`} for ${lasting(nowMs - from)}: ${why}`,
    );
  if (abstains !== undefined) lines.push(`    abstains: ${abstains}`);
  if (vote) lines.push(`    VOTES: ${voteText(vote, nowMs)}`);
  return lines;
}

function regionWords({ regions, facts }: Seen): string[] {
  const lines = ['regions, as asked from here just now'];
  for (const { region, role } of regions) {
    const health = facts.health[region];
    const ready = facts.ready[region];
    if (!health || !ready) lines.push(`  ${region.padEnd(REGION)}${role}, serves nobody`);
    else
      lines.push(
        `  ${region.padEnd(REGION)}${role}`,
        `    /health  ${health.outcome === 'not_asked' ? 'not asked: ' : ''}${health.why}`,
        `    /ready   ${ready.outcome === 'not_asked' ? 'not asked: ' : ''}${ready.why}`,
      );
  }
  return lines;
}

function healthCheckWords(
  checks: Status['healthChecks'],
  resolver: string | undefined,
  notAsked: string | undefined,
): string[] {
  if (notAsked !== undefined) return [`health checks: not known: ${notAsked}`];
  const lines = [`health checks, by ${resolver ?? 'Route 53, as asked just now'}`];
  for (const { name, healthy, why, since: from } of checks)
    lines.push(
      `  ${healthy === undefined ? 'NOT KNOWN' : healthy ? 'healthy  ' : 'UNHEALTHY'}  ${name}`,
      `             ${why}${from === undefined ? '' : `; since ${new Date(from).toISOString()}`}`,
    );
  if (checks.length === 0) lines.push('  none');
  return lines;
}

function replicationWords({ facts }: Seen): string[] {
  const { replicas, routing, at } = facts;
  const lines = ['replication, by each replica for itself'];
  for (const { region, answer, why, tookMs } of replicas) {
    if (!answer) {
      lines.push(`  ${region.padEnd(REGION)}SILENT: ${why}`);
      continue;
    }
    const { routing: own, feed, beats } = answer;
    const same = own?.epoch === routing?.epoch;
    const epoch = `routing epoch ${own?.epoch ?? 'none'}${same ? '' : `, NOT ${routing?.epoch}`}`;
    const unsteady = whyUnsteady(feed, at);
    lines.push(
      `  ${region.padEnd(REGION)}answers a consistent read in ${tookMs} ms: ${epoch}`,
      `    feed ${unsteady === undefined ? 'steady' : `NOT STEADY: ${unsteady}`}`,
      `    sees heartbeats of ${replicas.map((it) => `${it.region} ${beatText(beats, it.region, at)}`).join(', ')}`,
    );
  }
  return lines;
}

function beatText(beats: Parameters<typeof ageOfBeats>[0], region: string, nowMs: number): string {
  const ageMs = ageOfBeats(beats, region, nowMs);
  return ageMs === undefined ? 'never' : `${lasting(ageMs)} old`;
}

function changeWords({ facts }: Seen): string[] {
  const changes = (facts.routing?.changes ?? []).slice(0, CHANGES_SHOWN);
  const lines = [
    `last changes, by the routing state; all of them stand in every region's audit bucket under routing/`,
  ];
  for (const change of changes) lines.push(...changeText(change, facts.at));
  if (changes.length === 0) lines.push(facts.heard ? '  none' : '  not known: no replica answers');
  return lines;
}

function changeText({ epoch, at, what, from, to, by, reason, votes, forced }: RoutingChange, nowMs: number) {
  const names = { drain: 'drain', drain_given_up: 'drain given up', move: 'MOVE' } as const;
  return [
    `  ${since(at, nowMs)}: ${names[what]} ${from} to ${to}, by ${by}${forced ? ', forced' : ''}, epoch ${epoch}`,
    `    ${reason || 'no reason given'}`,
    ...votes.map((vote) => `    vote of ${voteText(vote, nowMs)}`),
  ];
}

/** One object, flat where that is possible. Times in Unix ms. */
export function statusForPrograms({ seen, ...status }: Status): object {
  if (!seen) return status;
  const { facts, observers, regions, table } = seen;
  const { routing, heard, health, ready, replicas, primary } = facts;
  return {
    ...status,
    table,
    /** False: nobody could be asked, and `routing` says nothing. */
    heard,
    primary,
    activeRegion: heard ? activeIn(facts) : null,
    routing: routing ? { ...routing, changes: routing.changes.slice(0, CHANGES_SHOWN) } : null,
    observers,
    regions: regions.map(({ region, role }) => ({
      region,
      role,
      ...(health[region] && { health: health[region] }),
      ...(ready[region] && { ready: ready[region] }),
    })),
    replicas: replicas.map(({ region, answer, why, tookMs }) => ({
      region,
      answers: answer !== undefined,
      tookMs,
      ...(answer
        ? { epoch: answer.routing?.epoch ?? null, feed: answer.feed ?? null, beats: answer.beats }
        : { why }),
    })),
  };
}
