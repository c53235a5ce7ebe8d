// The next entry of a record's audit trail (PROTOCOL 2, 4.2): chained to the head by its hash, and small enough that
// the outbox always fits into the item. It is written with the decision it tells of, so neither is ever without the other.
import { type AuditEntry, type AuditedState, auditText, type RegionVote } from '../../protocol/audit.ts';
import { LOST_INLINE_BYTES_MAX, OUTBOX_BYTES_MAX } from '../../protocol/limits.ts';
import { sha256Of } from './canonical.ts';
import type { AuditState, Content, Edit, StoredRecord } from './record.ts';

/** What was decided about an edit. */
export type Ruling =
  | {
      readonly outcome: 'incoming' | 'stored';
      /** Empty where nobody votes: there are two replicas, and the copy that the edit met decided. */
      readonly votes: readonly RegionVote[];
      /** The stored side, as a copy that voted holds it. */
      readonly stored: StoredRecord;
    }
  /** Nothing was stored where the edit's base should have been (PROTOCOL 7). */
  | { readonly outcome: 'base_missing' };

/** Where and when. */
export interface Scene {
  readonly region: string;
  /** Unix ms. */
  readonly atMs: number;
}

export type Recorded =
  | {
      readonly kind: 'recorded';
      readonly audit: AuditState;
      /** Goes into the audit bucket before the decision is written: too large for the outbox. */
      readonly payload: Extract<Content, { deleted: false }> | undefined;
    }
  /** The outbox has no room for the entry: archive and trim it first. */
  | { readonly kind: 'outbox_full' };

/** The trail with the entry of this ruling at its end. */
export function recordRuling(edit: Edit, ruling: Ruling, trail: AuditState, scene: Scene): Recorded {
  return append(entryOf(edit, ruling, trail, scene), lostBy(edit, ruling), trail);
}

/** The trail with an entry, and what lost by it, at its end. */
export function append(entry: AuditEntry, lost: Content, trail: AuditState): Recorded {
  const inline = lost.deleted || Buffer.byteLength(lost.payload) <= LOST_INLINE_BYTES_MAX;
  const text = auditText(lost.deleted || !inline ? entry : { ...entry, lost: lost.payload });
  const outbox = [...trail.outbox, text];
  if (bytesOf(outbox) > OUTBOX_BYTES_MAX) return { kind: 'outbox_full' };
  return {
    kind: 'recorded',
    audit: { sequence: entry.sequence, head: sha256Of(text), outbox },
    payload: inline || lost.deleted ? undefined : lost,
  };
}

/** The entries of an outbox, each under the sequence and hash that it is archived by, the oldest first. */
export function outboxEntries({ sequence, outbox }: Pick<AuditState, 'sequence' | 'outbox'>): readonly {
  readonly sequence: number;
  readonly hash: string;
  readonly text: string;
}[] {
  const first = sequence - outbox.length + 1;
  return outbox.map((text, index) => ({ sequence: first + index, hash: sha256Of(text), text }));
}

/** A delete has no payload to lose, and an edit whose base is missing took nothing away. */
function lostBy(edit: Edit, ruling: Ruling): Content {
  if (ruling.outcome === 'base_missing') return { deleted: true };
  return ruling.outcome === 'incoming' ? ruling.stored.content : edit.content;
}

function entryOf(edit: Edit, ruling: Ruling, trail: AuditState, { region, atMs }: Scene): AuditEntry {
  const { key, session, sequence, base } = edit;
  return {
    record: key,
    sequence: trail.sequence + 1,
    previous: trail.head,
    at: atMs,
    region,
    outcome: ruling.outcome,
    votes: ruling.outcome === 'base_missing' ? [] : ruling.votes,
    ...(ruling.outcome !== 'base_missing' && ruling.votes.length === 0 && { quorum: 'none' }),
    incoming: { ...stateOf(edit), session, sequence, ...(base !== undefined && { base }) },
    ...(ruling.outcome !== 'base_missing' && {
      stored: { ...stateOf(ruling.stored), commitVersion: ruling.stored.commitVersion },
    }),
  };
}

export function stateOf({ version, content }: Pick<StoredRecord, 'version' | 'content'>): AuditedState {
  return content.deleted ? { version, deleted: true } : { version, deleted: false, sha256: content.sha256 };
}

function bytesOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}
