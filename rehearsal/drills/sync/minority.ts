// What a cut-off region did that it must not do, seen in three places: on the wire, in the table's log, and in the audit
// trail. A request that was under way when the cut came may have been carried out before it and is answered later, so an
// answer alone proves something only when the request came after the cut.
import type { VerdictName } from '../../../protocol/verdicts.ts';
import type { Finding } from '../checker.ts';
import type { Trail } from './audit-trail.ts';
import { type Cut, nameOf, type Sent, type SyncHistory } from './history.ts';
import type { Effect } from './table-log.ts';

const SETTLING: ReadonlySet<VerdictName> = new Set(['applied', 'superseded', 'duplicate']);
/** What the log's times are rounded down to. */
const LOG_MS = 1_000;

export function findMinorityAccepted(
  { sent, cuts }: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
  trail: Trail,
): readonly Finding[] {
  return cuts.flatMap((cut) => [
    ...settledOnTheWire(sent, cut),
    ...writtenInTheLog(sent, effects, cut),
    ...decidedInTheTrail(trail, cut),
  ]);
}

/** Came after the cut, and was answered before it healed. */
function settledOnTheWire(sent: readonly Sent[], cut: Cut): readonly Finding[] {
  return sent.flatMap((operation) => {
    const { region, sentAt, answer, key } = operation;
    if (region !== cut.region || answer === undefined || !SETTLING.has(answer.verdict)) return [];
    if (sentAt < cut.from || answer.at >= cut.to) return [];
    return [
      accepted(key, `${nameOf(operation)} was answered ${answer.verdict} by ${region} while it was cut off`),
    ];
  });
}

/** Was written during the cut, and by then had been sent nowhere else. */
function writtenInTheLog(
  sent: readonly Sent[],
  effects: ReadonlyMap<string, readonly Effect[]>,
  cut: Cut,
): readonly Finding[] {
  const copies = Map.groupBy(sent, nameOf);
  return [...effects].flatMap(([name, all]) =>
    all
      .filter(({ at }) => isDuring(at, cut))
      .filter(({ at }) => {
        const until = copies.get(name)?.filter(({ sentAt }) => sentAt < at + LOG_MS) ?? [];
        return until.length > 0 && until.every(({ region }) => region === cut.region);
      })
      .map(({ key }) =>
        accepted(key, `${name}, sent to ${cut.region} alone, was written while that was cut off`),
      ),
  );
}

/** Was decided by the region during the cut: a decision and its entry are one write, and the entry says who made it. */
function decidedInTheTrail({ entries }: Trail, cut: Cut): readonly Finding[] {
  return entries
    .filter(({ entry, loggedAt }) => entry.region === cut.region && isDuring(loggedAt, cut))
    .map(({ key, entry }) =>
      accepted(key, `entry ${entry.sequence} was decided by ${cut.region} while it was cut off`),
    );
}

function isDuring(loggedAt: number, { from, to }: Cut): boolean {
  return loggedAt >= from && loggedAt + LOG_MS <= to;
}

function accepted(key: string, what: string): Finding {
  return { rule: 'minority_accepted', key, what };
}
