// What is said of a drill's observations: lines of its table, each with its promise where there is one. Pure; a scenario
// picks those that it is about.
import type { RoutingChange } from '../../../protocol/routing.ts';
import { type Line, type Promised, seconds } from '../lines.ts';
import type { OperatorCommand } from '../system.ts';
import type { Look, Seen } from './seen.ts';

/** Changes of the active region; draining alone is none. */
export function movesOf({ changes }: Pick<Seen, 'changes'>): readonly RoutingChange[] {
  return changes.filter(({ what }) => what === 'move');
}

export function movesLine(seen: Pick<Seen, 'changes'>, is: Promised['is'], limit: number): Line {
  const moves = movesOf(seen);
  const by = [...new Set(moves.map((move) => move.by))].join(', ');
  return {
    label: 'routing changes',
    text: moves.length === 0 ? 'none' : `${moves.length} by ${by}`,
    promise: { is, limit, measured: moves.length, unit: 'changes' },
  };
}

/** From the fault to the routing state's change, by the clock of whoever made it. */
export function movedLine({ changes, faultAt }: Seen, withinMs: number): Line {
  const [first] = movesOf({ changes });
  return within('fault to the routing change', first && first.at - faultAt, withinMs);
}

/** Where it need not come to one. */
export function movedLineUnjudged({ changes, faultAt }: Seen): Line {
  const [first] = movesOf({ changes });
  return { label: 'first fault to the routing change', text: first ? seconds(first.at - faultAt) : 'none' };
}

export function verifiedLine({ verifiedAt, faultAt }: Seen, withinMs: number): Line {
  const afterMs = verifiedAt === undefined || verifiedAt === null ? undefined : verifiedAt - faultAt;
  return within('fault to a standby found ready twice', afterMs, withinMs);
}

/** How the region that was left takes it when it comes back: it says so itself, and stays so. */
export function latchLines(seen: Seen, learnsWithinMs: number): readonly Line[] {
  const { region, revivedAt = Number.POSITIVE_INFINITY } = seen;
  const after = seen.looks.filter(({ at }) => at > revivedAt);
  const learned = after.find(({ health }) => health[region] === 'evacuated');
  // Before it knew it may have answered as it did when it had no memory.
  const knewAt = learned?.at ?? Number.NEGATIVE_INFINITY;
  const back = after.filter(
    ({ at, leadsTo, health }) => leadsTo === region || (at > knewAt && health[region] === 'ok'),
  );
  return [
    within('revived primary knows it is evacuated', learned && learned.at - revivedAt, learnsWithinMs),
    {
      label: 'looks after the revival that found it back',
      text: `${back.length} of ${after.length}`,
      promise: none(after.length === 0 ? Number.NaN : back.length, 'looks'),
    },
  ];
}

/**
 * After a move, until the alarm that keeps the evacuated primary out of DNS has to hold: a look of the standby's observer,
 * the minute of the alarm that it feeds (Route 53 follows no alarm with shorter periods), and Route 53's own time. Until
 * then its own health check alone keeps it out.
 * https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
 */
export const HELD_AFTER_MS = 100_000;

/**
 * What a region that is up and down does after it was left: from `heldAfterMs` after the first move on DNS never leads
 * there, and it says so itself whenever it is alive, except for the first moments of a process that has no memory.
 */
export function heldLines(
  seen: Seen,
  { heldAfterMs, learnsWithinMs }: { readonly heldAfterMs: number; readonly learnsWithinMs: number },
): readonly Line[] {
  const { region, revivals, looks } = seen;
  const movedAt = movesOf(seen)[0]?.at ?? Number.POSITIVE_INFINITY;
  const held = looks.filter(({ at }) => at > movedAt + heldAfterMs);
  const isNew = (at: number) => revivals.some((revival) => at >= revival && at < revival + learnsWithinMs);
  const back = held.filter(({ leadsTo }) => leadsTo === region).length;
  const evacuated = held.filter(({ health }) => health[region] === 'evacuated').length;
  const well = held.filter(({ at, health }) => health[region] === 'ok' && !isNew(at)).length;
  return [
    {
      label: 'looks that found DNS back there after the move',
      text: `${back} of ${held.length}`,
      promise: none(held.length === 0 ? Number.NaN : back, 'looks'),
    },
    {
      label: 'its /health then: evacuated',
      text: `${evacuated} of ${held.length}`,
      promise: { is: '≥', limit: 1, measured: evacuated, unit: 'looks' },
    },
    { label: 'its /health then: 200', text: `${well} of ${held.length}`, promise: none(well, 'looks') },
  ];
}

/**
 * A region that comes back cut off knows nothing of its evacuation, and says so by a `/health` of 200: then the alarm
 * alone holds it out of DNS, from `heldAfterMs` after the move on. `looksMin`: of 200 by then, so many that DNS would have
 * had the time to lead back.
 */
export function memorylessLines(
  seen: Seen,
  { heldAfterMs, looksMin }: { readonly heldAfterMs: number; readonly looksMin: number },
): readonly Line[] {
  const { region, looks, revivals } = seen;
  const [cutOffAt = Number.POSITIVE_INFINITY, healedAt = Number.NEGATIVE_INFINITY] = revivals;
  const heldAt = (movesOf(seen)[0]?.at ?? Number.POSITIVE_INFINITY) + heldAfterMs;
  const during = looks.filter(({ at }) => at > cutOffAt && at < healedAt);
  const held = during.filter(({ at }) => at > heldAt);
  const isWell = ({ health }: Look) => health[region] === 'ok';
  const isBack = ({ leadsTo }: Look) => leadsTo === region;
  const early = during.filter(({ at }) => at <= heldAt);
  const back = held.filter(isBack).length;
  return [
    {
      label: 'revived and cut off, before the alarm: looks that found DNS back',
      text: `${early.filter(isBack).length} of ${early.length}`,
    },
    {
      label: 'from then on: its /health answered 200',
      text: `${held.filter(isWell).length} of ${held.length} looks`,
      promise: { is: '≥', limit: looksMin, measured: held.filter(isWell).length, unit: 'looks' },
    },
    {
      label: 'from then on: looks that found DNS back',
      text: `${back} of ${held.length}`,
      promise: none(held.length === 0 ? Number.NaN : back, 'looks'),
    },
  ];
}

/** A failback from a region that is cut off: DNS stays there until somebody takes the latch away, as the command says. */
export function latchTakenAwayLines(seen: Seen, followsWithinMs: number): readonly Line[] {
  const { region, looks, orders } = seen;
  const { latchDisabledAt: takenAt = Number.NaN, latchEnabledAt: backAt = Number.NaN } = seen;
  const movedAt = movesOf(seen).at(-1)?.at ?? Number.NaN;
  const before = looks.filter(({ at }) => at > movedAt && at < takenAt);
  const early = before.filter(({ leadsTo }) => leadsTo === region).length;
  const followed = looks.find(({ at, leadsTo }) => at > takenAt && leadsTo === region);
  const after = looks.filter(({ at }) => at > backAt);
  const away = after.filter(({ leadsTo }) => leadsTo !== region).length;
  const told = orders.some(({ command, said }) => command === 'failback' && TELLS.test(said));
  return [
    {
      label: 'looks before that found DNS at the primary',
      text: `${early} of ${before.length}`,
      promise: none(before.length === 0 ? Number.NaN : early, 'looks'),
    },
    yesLine('failback says which check to disable', told),
    within('check disabled to DNS at the primary', followed && followed.at - takenAt, followsWithinMs),
    {
      label: 'looks after it was enabled again that found DNS elsewhere',
      text: `${away} of ${after.length}`,
      promise: none(after.length === 0 ? Number.NaN : away, 'looks'),
    },
  ];
}

/** In the words of `bin/`, with the order itself. */
const TELLS = /disable its check now: .*"disabled":true/;

/** `/health` of the region whose work failed, until it heard of its evacuation. */
export function healthLine({ looks, faultAt, region, revivedAt, endedAt }: Seen): Line {
  const during = looks.filter(({ at }) => at > faultAt && at < (revivedAt ?? endedAt));
  const evacuated = during.findIndex(({ health }) => health[region] === 'evacuated');
  const before = evacuated < 0 ? during : during.slice(0, evacuated);
  const well = before.filter(({ health }) => health[region] === 'ok').length;
  return {
    label: 'its /health answered 200 until it was evacuated',
    text: `${well} of ${before.length} looks`,
    promise: none(before.length === 0 ? Number.NaN : before.length - well, 'looks'),
  };
}

/** Writes answered as done by the region that reached no other one, and sent there after that. */
export function minorityLines({ history, region, faultAt, revivedAt, endedAt }: Seen): readonly Line[] {
  const healedAt = revivedAt ?? endedAt;
  const writes = history.filter(({ operation }) => operation === 'put');
  const asked = writes.filter(({ attempts }) =>
    attempts.some((it) => it.region === region && it.startedAt >= faultAt && it.startedAt < healedAt),
  );
  const accepted = writes.filter(
    (it) => it.ok && it.region === region && (it.receivedAt ?? 0) >= faultAt && it.endedAt < healedAt,
  );
  return [
    {
      label: 'writes that reached the cut-off region',
      text: String(asked.length),
      promise: { is: '≥', limit: 1, measured: asked.length, unit: 'writes' },
    },
    {
      label: 'of them accepted there',
      text: String(accepted.length),
      promise: none(accepted.length, 'writes'),
    },
  ];
}

/** Whether everybody who could was woken, and left alone again when it was over. */
export function pagingLines(seen: Seen, { clearedWithinMs }: { clearedWithinMs: number }): readonly Line[] {
  const { looks, observers, faultAt, revivedAt = Number.POSITIVE_INFINITY } = seen;
  const paged = (look: Look) => observers.every((region) => look.paging.includes(region));
  const all = looks.find((look) => look.at > faultAt && paged(look));
  const most = new Set(
    looks.filter(({ at }) => at > faultAt && at < revivedAt).flatMap(({ paging }) => paging),
  );
  const quiet = looks.find(({ at, paging }) => at > revivedAt && paging.length === 0);
  return [
    {
      label: 'regions that page',
      text: `${most.size} of ${observers.length}`,
      promise: { is: '=', limit: observers.length, measured: most.size, unit: 'regions' },
    },
    { label: 'fault to the last of the pages', text: all ? seconds(all.at - faultAt) : 'never' },
    within('pages cleared after the revival', quiet && quiet.at - revivedAt, clearedWithinMs),
  ];
}

/**
 * Which observers ever voted, or abstained, while the fault lasted: exactly the expected ones. Missed, too, where nobody
 * could read what they report.
 */
export function observersLine(
  { looks, faultAt, revivedAt, endedAt }: Seen,
  what: 'voting' | 'abstaining',
  expected: readonly string[],
): Line {
  const during = looks.filter(({ at }) => at > faultAt && at < (revivedAt ?? endedAt));
  const read = during.flatMap(({ reported }) => reported ?? []);
  const found = [...new Set(read.flatMap((reported) => reported[what]))].sort();
  const otherwise = [
    ...found.filter((region) => !expected.includes(region)),
    ...expected.filter((region) => !found.includes(region)),
  ];
  const names = (regions: readonly string[]) => regions.join(', ') || 'none';
  const compared = otherwise.length === 0 ? 'as expected' : `expected ${names(expected)}`;
  return {
    label: `observers ${what}, otherwise than expected`,
    text: read.length === 0 ? 'not known' : `${names(found)}, ${compared}`,
    promise: none(read.length === 0 ? Number.NaN : otherwise.length, 'observers'),
  };
}

/** Nobody but that region's observer calls for a person. `must`: and it does, and stops `clearedWithinMs` after the end of
 * the fault. */
export function onlyPagingLines(
  { looks, faultAt, revivedAt = Number.POSITIVE_INFINITY }: Seen,
  region: string,
  must?: { readonly clearedWithinMs: number },
): readonly Line[] {
  const after = looks.filter(({ at }) => at > faultAt);
  const others = new Set(after.flatMap(({ paging }) => paging).filter((it) => it !== region));
  const first = after.find(({ paging }) => paging.includes(region));
  const quiet = looks.find(({ at, paging }) => at > revivedAt && paging.length === 0);
  const own = {
    label: 'its observer pages',
    text: first ? `after ${seconds(first.at - faultAt)}` : 'never',
  };
  return [
    {
      label: 'other observers that page',
      text: [...others].join(', ') || 'none',
      promise: none(after.length === 0 ? Number.NaN : others.size, 'observers'),
    },
    must ? { ...own, promise: { is: '≥', limit: 1, measured: first ? 1 : 0, unit: 'pages' } } : own,
    ...(must
      ? [within('page cleared after the end of it', quiet && quiet.at - revivedAt, must.clearedWithinMs)]
      : []),
  ];
}

/** DNS never led anywhere else from the fault on. */
export function stayedInDnsLine({ looks, faultAt, region }: Seen): Line {
  const after = looks.filter(({ at }) => at > faultAt);
  const away = after.filter(({ leadsTo }) => leadsTo !== undefined && leadsTo !== region).length;
  return {
    label: 'looks that found DNS elsewhere',
    text: `${away} of ${after.length}`,
    promise: none(after.length === 0 ? Number.NaN : away, 'looks'),
  };
}

/** Who is active when the drill ends; a region that never lost it counts without any routing state.
 * @param expected @default nobody in particular: it is told and not judged */
export function activeLine({ looks, region }: Seen, expected?: string): Line {
  const active = looks.at(-1)?.active ?? region;
  const line = { label: 'active in the end', text: active };
  if (expected === undefined) return line;
  const measured = active === expected ? 1 : 0;
  return { ...line, promise: { is: '=', limit: 1, measured, unit: expected } };
}

/** Whether the first order of its kind was refused for the hold-down alone, and left the routing state as it was. */
export function refusedLine({ orders, changes }: Seen, command: OperatorCommand): Line {
  const order = orders.find((it) => it.command === command);
  const changed = changes.filter((it) => order && it.at >= order.at && it.at <= order.endedAt).length;
  const forHoldDown = HOLD_DOWN_ALONE.test(order?.said.trim().split('\n').at(-1) ?? '');
  const refused = order?.code === REFUSED && changed === 0 && forHoldDown;
  const why = forHoldDown ? '' : ', not for the hold-down alone';
  const ended = order === undefined ? 'never run' : `ended with ${order.code}, ${changed} changes${why}`;
  return {
    label: `${command} during the hold-down, without --force`,
    text: refused ? 'refused' : ended,
    promise: { is: '=', limit: 1, measured: refused ? 1 : 0, unit: 'refusals' },
  };
}

/** By `bin/`: 0 done, 1 refused or not done, 2 could not run. */
const REFUSED = 1;

/** In the words of `bin/`: one reason, and how to go on all the same. Reasons are joined by semicolons. */
const HOLD_DOWN_ALONE =
  /refused: the active region changed [^;]* ago \([^;]*\): nobody moves it again for another [^;]* \(--force [^;]*\)$/;

/** What was overridden by force is recorded with the move, and it was the hold-down and nothing else. */
export function forcedLine(seen: Pick<Seen, 'changes'>): Line {
  const reason = movesOf(seen).at(-1)?.reason ?? '';
  const forced = /; forced over: (.*)$/.exec(reason)?.[1] ?? 'nothing';
  return {
    label: 'the last move was forced over',
    text: forced,
    promise: { is: '=', limit: 1, measured: forced === 'the hold-down' ? 1 : 0, unit: 'the hold-down alone' },
  };
}

/** How long each command that was carried out took, and that it ended well. */
export function orderLines({ orders }: Seen): readonly Line[] {
  return (['evacuate', 'failback'] as const).map((command) => {
    const last = orders.findLast((it) => it.command === command);
    return {
      label: command,
      text:
        last === undefined ? 'never run' : `ended with ${last.code} after ${seconds(last.endedAt - last.at)}`,
      promise: { is: '=', limit: 0, measured: last?.code ?? null, unit: 'exit code' },
    };
  });
}

/** Every move of an operator came so long after the drain that announced it. */
export function drainsLine({ changes }: Pick<Seen, 'changes'>, drainMs: number): Line {
  const drained = changes.flatMap((change, index) => {
    const before = changes[index - 1];
    return change.what === 'move' ? [before?.what === 'drain' ? change.at - before.at : 0] : [];
  });
  const shortest = drained.length === 0 ? null : Math.min(...drained) / 1_000;
  return {
    label: 'drained before a move, at least',
    text: shortest === null ? 'never' : `${shortest.toFixed(1)} s`,
    promise: { is: '≥', limit: drainMs / 1_000, measured: shortest, unit: 's' },
  };
}

/** Epochs fence: each change's is above the one before, and never behind its own time. */
export function epochsLine({ changes }: Pick<Seen, 'changes'>): Line {
  const wrong = changes.filter(
    ({ epoch, at }, index) => epoch < at || epoch <= (changes[index - 1]?.epoch ?? 0),
  );
  return {
    label: 'changes whose epoch did not rise',
    text: `${wrong.length} of ${changes.length}`,
    promise: none(changes.length === 0 ? Number.NaN : wrong.length, 'changes'),
  };
}

export function within(label: string, ms: number | undefined, limitMs: number): Line {
  const measured = ms === undefined ? null : ms / 1_000;
  return {
    label,
    text: ms === undefined ? 'never' : seconds(ms),
    promise: { is: '<', limit: limitMs / 1_000, measured, unit: 's' },
  };
}

function yesLine(label: string, isSo: boolean): Line {
  return {
    label,
    text: isSo ? 'yes' : 'no',
    promise: { is: '=', limit: 1, measured: isSo ? 1 : 0, unit: 'times' },
  };
}

function none(measured: number, unit: string): Promised {
  return { is: '≤', limit: 0, measured, unit };
}
