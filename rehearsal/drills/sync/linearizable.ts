// Linearizability, record by record. State is the maximum by version (PROTOCOL 9.3), so the only order that writes can
// have is that of their versions, and a history is linearizable exactly when nothing that began after something else
// had ended saw or made an older version than that had seen or made. One sweep in the order of time.
import { compareVersions, type Version } from '../../../protocol/versions.ts';
import type { Finding } from '../checker.ts';
import { type Logged, nameOf, type SyncHistory } from './history.ts';
import type { Effect } from './table-log.ts';

/** At some moment from `from` to `to` this version was the state. */
interface Observation {
  readonly from: number;
  /** Infinity when nobody heard how it ended. */
  readonly to: number;
  readonly version: Version;
  /** It made that version: nobody can have seen it before. */
  readonly isWrite: boolean;
  readonly what: string;
}

export function findUnlinearizable(
  history: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
): readonly Finding[] {
  const known = versionsByKey(history.log);
  const byKey = Map.groupBy(observationsOf(history, effects), ({ key }) => key);
  return [...byKey].flatMap(([key, observations]) => [
    ...findUnwritten(key, observations, known.get(key) ?? new Set()),
    ...sweep(key, observations),
  ]);
}

function versionsByKey(log: readonly Logged[]): ReadonlyMap<string, ReadonlySet<string>> {
  const versions = new Map<string, Set<string>>();
  for (const { key, after } of log) {
    if (after === undefined) continue;
    const known = versions.get(key);
    if (known) known.add(after.version);
    else versions.set(key, new Set([after.version]));
  }
  return versions;
}

function observationsOf(
  { sent, reads }: SyncHistory,
  effects: ReadonlyMap<string, readonly Effect[]>,
): readonly (Observation & { readonly key: string })[] {
  const all: (Observation & { key: string })[] = [];
  for (const { key, from, to, version, region } of reads) {
    const seen = version ?? ('' as Version);
    all.push({ key, from, to, version: seen, isWrite: false, what: `a read in ${region}` });
  }
  const writes = new Map<string, Observation & { key: string }>();
  for (const operation of sent) {
    const { key, version, sentAt, answer, region } = operation;
    const name = nameOf(operation);
    const verdict = answer?.verdict;
    if ((verdict === 'superseded' || verdict === 'duplicate') && answer?.version !== undefined)
      all.push({
        key,
        from: sentAt,
        to: answer.at,
        version: answer.version,
        isWrite: false,
        what: `the answer ${verdict} to ${name} in ${region}`,
      });
    if (!effects.get(name)?.some((effect) => effect.version === version)) continue;
    // Sent in several copies, it was made by one of them: after the first was sent, before the first said so.
    const before = writes.get(version);
    const endedAt = verdict === 'applied' && answer !== undefined ? answer.at : Number.POSITIVE_INFINITY;
    writes.set(version, {
      key,
      version,
      isWrite: true,
      from: Math.min(sentAt, before?.from ?? Number.POSITIVE_INFINITY),
      to: Math.min(endedAt, before?.to ?? Number.POSITIVE_INFINITY),
      what: `the write ${name}`,
    });
  }
  all.push(...writes.values());
  return all;
}

function findUnwritten(
  key: string,
  observations: readonly Observation[],
  written: ReadonlySet<string>,
): readonly Finding[] {
  return observations
    .filter(({ version }) => version !== '' && !written.has(version))
    .map(({ version, what }) => ({
      rule: 'not_linearizable' as const,
      key,
      what: `${what} gave ${version}, which was never written`,
    }));
}

function sweep(key: string, observations: readonly Observation[]): readonly Finding[] {
  const found: Finding[] = [];
  const byEnd = observations.toSorted((a, b) => a.to - b.to);
  let ended = 0;
  let highest: Observation | undefined;
  for (const observation of observations.toSorted((a, b) => a.from - b.from)) {
    for (; (byEnd[ended]?.to ?? Number.POSITIVE_INFINITY) < observation.from; ended += 1) {
      const over = byEnd[ended] as Observation;
      if (highest === undefined || compareVersions(over.version, highest.version) > 0) highest = over;
    }
    if (highest === undefined) continue;
    const order = compareVersions(observation.version, highest.version);
    if (order < 0 || (order === 0 && observation.isWrite))
      found.push({
        rule: 'not_linearizable',
        key,
        what: `${observation.what} gave ${observation.version || 'nothing'} after ${highest.what}, over before it, gave ${highest.version}`,
      });
  }
  return found;
}
