// What the table's log says by itself: which edit was the state when, and whether each change was allowed to be made.
import { compareVersions, makerOf, type Version } from '../../../protocol/versions.ts';
import type { Finding } from '../checker.ts';
import type { Trail } from './audit-trail.ts';
import { type Logged, nameOf, type SyncHistory } from './history.ts';

/** An edit became the state of its record. */
export interface Effect {
  readonly key: string;
  readonly order: number;
  /** As in {@link Logged}. */
  readonly at: number;
  readonly version: Version;
  readonly before?: Version;
}

/** By the name of the edit, in the order of the log. Trims and votes that the stored side won change no version. */
export function effectsOf(log: readonly Logged[]): ReadonlyMap<string, readonly Effect[]> {
  const effects = new Map<string, Effect[]>();
  for (const { key, order, at, before, after } of log) {
    if (after?.mark === undefined || after.version === before) continue;
    const name = nameOf(after.mark);
    const effect = { key, order, at, version: after.version, ...(before === undefined ? {} : { before }) };
    const known = effects.get(name);
    if (known) known.push(effect);
    else effects.set(name, [effect]);
  }
  return effects;
}

export function findLogFaults(
  history: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
  trail: Trail,
): readonly Finding[] {
  return [
    ...findWentBack(history),
    ...findUnvoted(history, effects, trail),
    ...findOwnBeaten(history.log),
    ...findUnfair(trail),
  ];
}

function findWentBack({ log, table }: SyncHistory): readonly Finding[] {
  const found: Finding[] = [];
  const last = new Map<string, Version | undefined>();
  for (const { key, before, after } of log) {
    const expected = last.get(key);
    if (last.has(key) && expected !== before)
      found.push(
        back(key, `the log has ${before ?? 'nothing'} where it had just written ${expected ?? 'nothing'}`),
      );
    if (before !== undefined && after !== undefined && compareVersions(after.version, before) < 0)
      found.push(back(key, `its state went from ${before} to ${after.version}`));
    last.set(key, after?.version);
  }
  for (const [key, version] of last)
    if (table.get(key)?.version !== version)
      found.push(
        back(
          key,
          `the log ends in ${version ?? 'nothing'}, the table holds ${table.get(key)?.version ?? 'nothing'}`,
        ),
      );
  for (const key of table.keys())
    if (!last.has(key)) found.push(back(key, 'the table holds it, and the log does not know of it'));
  return found;
}

/** Every replaced state was seen by whoever replaced it, or was voted on (PROTOCOL 9.10, 3.2). */
function findUnvoted(
  { sent }: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
  { decided }: Trail,
): readonly Finding[] {
  const bases = new Map<string, Set<Version | undefined>>();
  for (const { version, base } of sent) {
    const known = bases.get(version);
    if (known) known.add(base);
    else bases.set(version, new Set([base]));
  }
  const found: Finding[] = [];
  for (const [name, all] of effects)
    for (const { key, version, before } of all) {
      const seen = bases.get(version);
      if (seen === undefined)
        found.push({
          rule: 'unvoted',
          key,
          what: `${name} became the state as ${version}, which nobody sent`,
        });
      else if (
        !seen.has(before) &&
        !decided.has(version) &&
        !(before !== undefined && makerOf(before) === makerOf(version))
      )
        found.push({
          rule: 'unvoted',
          key,
          what: `${name} replaced ${before ?? 'nothing'} without a vote, based on ${[...seen].join(' or ') || 'nothing'}`,
        });
    }
  return found;
}

/** A device's edits of a record come in the order it made them. */
function findOwnBeaten(log: readonly Logged[]): readonly Finding[] {
  const found: Finding[] = [];
  const latest = new Map<string, number>();
  for (const { key, before, after } of log) {
    if (after?.mark === undefined || after.version === before) continue;
    const { by, n } = after.mark;
    const line = `${by} ${key}`;
    const known = latest.get(line);
    if (known !== undefined && known > n)
      found.push({
        rule: 'own_edit_beaten',
        key,
        what: `${by} ${n} came after ${by} ${known}, its later edit`,
      });
    latest.set(line, Math.max(n, known ?? 0));
  }
  return found;
}

/** Votes that should not have gone the way they went. */
function findUnfair({ entries }: Trail): readonly Finding[] {
  const found: Finding[] = [];
  for (const { key, entry } of entries) {
    const { outcome, stored, incoming } = entry;
    if (outcome !== 'stored' || stored === undefined) continue;
    if (incoming.base !== undefined && compareVersions(stored.version, incoming.base) <= 0)
      found.push({
        rule: 'base_won',
        key,
        what: `${incoming.version}, based on ${incoming.base}, lost to ${stored.version}`,
      });
    if (makerOf(stored.version) === makerOf(incoming.version))
      found.push({
        rule: 'own_edit_beaten',
        key,
        what: `${incoming.version} lost a vote to ${stored.version} of the same device`,
      });
  }
  return found;
}

function back(key: string, what: string): Finding {
  return { rule: 'state_went_back', key, what };
}
