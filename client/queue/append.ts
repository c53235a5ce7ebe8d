// New operations: stamped above what they are made on, numbered within the session, chained to what came before.
import { Draft } from './draft.ts';
import { DROPPED, lineOf, linkOf } from './format.ts';
import type { Group, Ledger } from './ledger.ts';
import { readingAbove, stamper } from './stamps.ts';
import { Waiting } from './waiting.ts';

/** An edit, checked, its payload in canonical form. */
export interface Edit {
  readonly kind: 'put' | 'delete';
  readonly collection: string;
  readonly id: string;
  readonly key: string;
  /** '' for a delete. */
  readonly payload: string;
  /** The quarantined operation this one replaces: it goes in the same commit. */
  readonly replaces?: { readonly group: number; readonly index: number } | undefined;
}

/** One commit for all `edits`, at least one. `nowMs`: corrected by the known offset. */
export function draftAppend(
  ledger: Ledger,
  edits: readonly Edit[],
  session: string,
  sequence: number,
  nowMs: number,
): { readonly draft: Draft; readonly added: readonly Waiting[] } {
  const draft = new Draft(ledger);
  const { head, fileId } = ledger.state;
  const lines: string[] = [];
  const bytes: number[] = [];
  const group: Group = {
    position: head.position + 1,
    count: edits.length,
    session,
    sequence,
    previous: head.link,
    link: '',
    seal: null,
    bytes,
    outcomes: undefined,
    outcomesSeal: undefined,
  };
  const added: Waiting[] = [];
  const stamp = stamper(fileId);
  /** The last one on each key, this commit's included. */
  const lasts = new Map<string, Waiting>();
  let { clock } = ledger.state;
  for (const edit of edits) {
    const { key, replaces } = edit;
    // 5.1: the preceding unsettled operation's version, else the one whose payload is held.
    const before = lasts.get(key) ?? ledger.waiting.lastOf(key);
    const base = before === undefined ? ledger.held.get(key)?.version : before.version;
    clock = readingAbove(clock, nowMs, base);
    const version = stamp(clock);
    const line = lineOf(edit, version, base);
    lines.push(line);
    bytes.push(Buffer.byteLength(line));
    const waiting = new Waiting(group, added.length, key, version, base, false);
    waiting.before = before;
    lasts.set(key, waiting);
    added.push(waiting);
    const replaced = replaces && ledger.groups.get(replaces.group);
    if (replaced) draft.setOutcome(replaced, replaces.index, DROPPED);
  }
  const row = { position: group.position, count: group.count, session, sequence, body: lines.join('\n') };
  group.link = linkOf(head.link, row);
  draft.addGroup({ ...row, link: group.link, seal: null }, group);
  draft.setState({ clock, head: { position: head.position + edits.length, link: group.link } });
  draft.afterwards(() => {
    for (const waiting of added) ledger.waiting.add(waiting, waiting.before);
  });
  return { draft, added };
}
