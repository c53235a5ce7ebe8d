// The audit trails as the table's log carried them: every entry once stood in its item's outbox, written with the
// decision itself (PROTOCOL 4.2), so the log alone holds every trail in full.
import { type AuditEntry, CHAIN_START } from '../../../protocol/audit.ts';
import type { Json } from '../../../protocol/operations.ts';
import type { Finding } from '../checker.ts';
import { type Logged, markOf, nameOf } from './history.ts';

export interface Trail {
  readonly entries: readonly Link[];
  /** Entries by the name of the edit that lost, where its payload stands in the entry. */
  readonly lost: ReadonlyMap<string, readonly { readonly key: string; readonly entry: AuditEntry }[]>;
  /** Versions that were written by a decision. */
  readonly decided: ReadonlySet<string>;
  readonly findings: readonly Finding[];
}

/** An entry in its place. */
export interface Link {
  readonly key: string;
  readonly entry: AuditEntry;
  readonly hash: string;
  /** When it was written, as the log has it. */
  readonly loggedAt: number;
}

/** @param hashOf SHA-256 in hex */
export function auditTrails(log: readonly Logged[], hashOf: (text: string) => string): Trail {
  const byKey = new Map<string, Map<string, Link>>();
  const heads = new Map<string, { sequence: number; head: string }>();
  const findings: Finding[] = [];
  for (const { key, at, after } of log) {
    if (after === undefined) continue;
    const { sequence } = after.audit;
    const before = heads.get(key);
    if (before !== undefined && sequence < before.sequence)
      findings.push(broken(key, `its trail went back from entry ${before.sequence} to ${sequence}`));
    heads.set(key, after.audit);
    const links = byKey.get(key) ?? new Map<string, Link>();
    byKey.set(key, links);
    for (const text of after.outbox) {
      const hash = hashOf(text);
      if (!links.has(hash))
        links.set(hash, { key, entry: JSON.parse(text) as AuditEntry, hash, loggedAt: at });
    }
  }
  for (const [key, head] of heads) findings.push(...followed(key, head, byKey.get(key) ?? new Map()));
  const entries = [...byKey.values()].flatMap((links) => [...links.values()]);
  const losers = entries.flatMap((link) => {
    const mark = link.entry.outcome === 'stored' ? markOf(payloadOf(link.entry)) : undefined;
    return mark === undefined ? [] : [{ name: nameOf(mark), ...link }];
  });
  return {
    entries,
    lost: Map.groupBy(losers, ({ name }) => name),
    decided: new Set(entries.map(({ entry }) => entry.incoming.version)),
    findings,
  };
}

/** From the head back to the start, by hash; and nothing beside it. */
function followed(
  key: string,
  { sequence, head }: { readonly sequence: number; readonly head: string },
  links: ReadonlyMap<string, Link>,
): readonly Finding[] {
  let hash = head;
  for (let at = sequence; at > 0; at -= 1) {
    const link = links.get(hash);
    if (link === undefined) return [broken(key, `entry ${at} with hash ${hash} is nowhere`)];
    if (link.entry.sequence !== at)
      return [broken(key, `entry ${at} says of itself that it is entry ${link.entry.sequence}`)];
    hash = link.entry.previous;
  }
  if (hash !== CHAIN_START) return [broken(key, 'its first entry names one before it')];
  return links.size === sequence
    ? []
    : [broken(key, `${links.size} entries were written, ${sequence} stand in its trail`)];
}

function payloadOf({ lost }: AuditEntry): Json | undefined {
  return lost === undefined ? undefined : (JSON.parse(lost) as Json);
}

function broken(key: string, what: string): Finding {
  return { rule: 'chain_broken', key, what };
}
