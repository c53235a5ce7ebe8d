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

/** Who is active when the drill ends; a region that never lost it counts without any routing state. */
export function activeLine({ looks, region }: Seen): Line {
  const active = looks.at(-1)?.active ?? region;
  return {
    label: 'active in the end',
    text: active,
  };
}

/** Whether the first order of its kind was refused: it ended as refused, and left the routing state alone. */
export function refusedLine({ orders, changes }: Seen, command: OperatorCommand): Line {
  const order = orders.find((it) => it.command === command);
  const changed = changes.filter((it) => order && it.at >= order.at && it.at <= order.endedAt).length;
  const refused = order?.code === REFUSED && changed === 0;
  const ended = order === undefined ? 'never run' : `ended with ${order.code}, ${changed} changes`;
  return {
    label: `${command} during the hold-down, without --force`,
    text: refused ? 'refused' : ended,
    promise: { is: '=', limit: 1, measured: refused ? 1 : 0, unit: 'refusals' },
  };
}

/** By `bin/`: 0 done, 1 refused or not done, 2 could not run. */
const REFUSED = 1;

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

function none(measured: number, unit: string): Promised {
  return { is: '≤', limit: 0, measured, unit };
}
