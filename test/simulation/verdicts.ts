// The invariants of PROTOCOL §9 as far as they can be judged at the very moment something is written or answered. What
// only the end can tell is in outcome.ts.
import { ATTRIBUTES } from '../../protocol/items.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import {
  type Audited,
  type Change,
  type Chronicle,
  idOf,
  type Made,
  payloadOf,
  Violation,
} from './chronicle.ts';
import type { HttpResult } from './network.ts';
import type { Entry, Table } from './table.ts';

/** Throws a {@link Violation}. */
export function judgeChange(chronicle: Chronicle, change: Change): void {
  const { before, after, entry, isRestored } = change;
  if (isRestored || after === undefined) return;
  judgeFeed(entry);
  if (before !== undefined && after.version === before.version) {
    if (after.payload !== before.payload)
      throw new Violation(
        '3 states only rise',
        `${entry.pk}: another payload under version ${after.version}`,
      );
  } else judgeState(chronicle, change, after.version);
  for (const audited of change.audited) judgeRuling(chronicle, audited);
}

/** A record moves on in the feed, never back: a reader that has passed its new place would not see it. */
function judgeFeed({ pk, before, after }: Entry): void {
  const [was, is] = [before, after].map((item) => item?.[ATTRIBUTES.commitVersion]?.S ?? '');
  if (was !== undefined && is !== undefined && is < was)
    throw new Violation('6 a pull misses nothing', `${pk} moves back in the feed, from ${was} to ${is}`);
}

function judgeState(chronicle: Chronicle, change: Change, version: string): void {
  const { entry, author, replaced, before, audited } = change;
  const { pk } = entry;
  if (author === undefined || author.pk !== pk)
    throw new Violation('1 nothing acknowledged is lost', `${pk}: nobody made its version ${version}`);
  for (const state of chronicle.statesOf(pk)) {
    if (!chronicle.isInLineage(state.entry)) continue;
    if (state.version >= version)
      throw new Violation('3 states only rise', `${pk}: goes from ${state.version} to ${version}`);
    if (state.made === author) throw new Violation('2 at most once', `${nameOf(author)} takes effect again`);
    if (state.made?.device === author.device && state.made.order > author.order)
      throw new Violation('4 own order', `${nameOf(author)} takes effect after ${nameOf(state.made)}`);
  }
  if (before === undefined || replaced === undefined) return;
  const isOwn = replaced.device === author.device;
  if (isOwn || author.seen.has(before.version)) return;
  const ruling = audited.find(({ incoming }) => incoming === author);
  const votes = ruling?.content.votes.filter(({ vote }) => vote === 'incoming').length ?? 0;
  if (ruling?.content.outcome !== 'incoming' || votes < 2)
    throw new Violation(
      '10 nothing unseen is replaced',
      `${nameOf(author)} replaces ${nameOf(replaced)}, which its author had not seen, without a vote`,
    );
}

function judgeRuling(chronicle: Chronicle, { content, incoming, stored, pk, text }: Audited): void {
  const { outcome, sequence } = content;
  if (incoming === undefined)
    throw new Violation('5 audit chains', `${pk}: entry ${sequence} is about an operation nobody made`);
  const again = chronicle.audited.find(
    (other) => other.incoming === incoming && other.text !== text && chronicle.isInLineage(other.entry),
  );
  if (again !== undefined)
    throw new Violation(
      '2 at most once',
      `${nameOf(incoming)} has entries ${again.sequence} and ${sequence}`,
    );
  const took = chronicle
    .statesOf(pk)
    .find(({ made, entry }) => made === incoming && chronicle.isInLineage(entry));
  if (took !== undefined)
    throw new Violation(
      '2 at most once',
      `${nameOf(incoming)} took effect, and entry ${sequence} is about it`,
    );
  if (outcome === 'base_missing' || stored === undefined) return;
  const [winner, loser] = outcome === 'incoming' ? [incoming, stored] : [stored, incoming];
  if (loser.ancestors.has(winner.id))
    throw new Violation('8 never loses to its base', `${nameOf(loser)} loses to ${nameOf(winner)}, its base`);
  if (winner.device === loser.device && winner.order < loser.order)
    throw new Violation('4 own order', `${nameOf(loser)} loses to the earlier ${nameOf(winner)}`);
  if (loser.kind === 'put' && content.lost !== undefined && content.lost !== payloadOf(loser))
    throw new Violation(
      '1 nothing acknowledged is lost',
      `entry ${sequence} of ${pk} holds ${content.lost} as what ${nameOf(loser)} lost`,
    );
}

/** An answer is about to leave the server: what it says must be true by now. */
export function judgeVerdict(chronicle: Chronicle, verdict: Verdict): void {
  const made = chronicle.made.get(idOf(verdict));
  if (made === undefined) return;
  switch (verdict.verdict) {
    case 'applied':
      if (chronicle.statesOf(made.pk).some((state) => state.made === made)) return;
      throw new Violation('9 linearizable', `${nameOf(made)} was answered as applied and never was`);
    case 'superseded':
      if (chronicle.audited.some(({ incoming }) => incoming === made)) return;
      throw new Violation('1 nothing acknowledged is lost', `${nameOf(made)} lost and no entry says so`);
    case 'duplicate':
      // One in quarantine is done with; a late copy of it says nothing any more.
      if (made.rejected || chronicle.settledOnce(made)) return;
      throw new Violation(
        '1 nothing acknowledged is lost',
        `${nameOf(made)} passes for settled and never was`,
      );
    case 'rejected':
      // All that devices make here is valid and small.
      if (verdict.reason === 'too_old') return;
      throw new Violation('valid edits are taken', `${nameOf(made)} was rejected: ${verdict.detail}`);
    default:
  }
}

/** A read gives a state that the record was in at some time between question and answer. */
export function judgeRead(table: Table, pk: string, { status, body }: HttpResult, fromMs: number): void {
  if (status !== 200 && status !== 404) return;
  const read =
    status === 404 ? undefined : JSON.stringify((JSON.parse(body) as { readonly payload: object }).payload);
  const possible = table
    .between(pk, fromMs)
    .map((item) => (item?.['deleted']?.BOOL ? undefined : item?.['payload']?.S));
  if (possible.includes(read)) return;
  throw new Violation('9 linearizable', `a read of ${pk} gave ${read}, which it was not meanwhile`);
}

export function nameOf({ device, kind, token, pk }: Made): string {
  return `${device}'s ${kind} ${token} of ${pk}`;
}
