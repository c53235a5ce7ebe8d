// What others changed goes into the records held, and the checkpoint moves with it in one commit (PROTOCOL 6.4).
import type { PullResponse } from '../../protocol/messages.ts';
import { compareVersions } from '../../protocol/versions.ts';
import type { Draft } from './draft.ts';
import { type Held, keyOf, type Ledger } from './ledger.ts';

export interface Pulled {
  /** Changes that were news; the rest was held already. */
  readonly applied: number;
  /** Records a resync did not return, dropped at its last page. */
  readonly dropped: number;
}

/**
 * A resync's index may not know yet of what was settled just before, and would take it from its own author for a while
 * (6.1). Long enough for a resync of many pages; nothing that was settled so lately has been swept (7).
 */
const SETTLED_LATELY_MS = 3_600_000;

export function draftPull(ledger: Ledger, draft: Draft, page: PullResponse, nowMs: number): Pulled {
  const before = draft.state.resync;
  const begins = page.resync && !before.active;
  const number = begins ? before.number + 1 : before.number;
  /** What this resync itself returned, or what was settled while it ran or, after the last restore, lately. */
  const stands = ({ seen, settledMs = Number.NEGATIVE_INFINITY }: Pick<Held, 'seen' | 'settledMs'>) =>
    seen === number || (seen === number - 1 && settledMs > nowMs - SETTLED_LATELY_MS);
  let applied = 0;
  for (const { collection, id, version, deleted, payload } of page.changes) {
    const key = keyOf(collection, id);
    draft.observe(version);
    const held = draft.versionHeld(key);
    const order = held === undefined ? 1 : compareVersions(version, held.version);
    const isNewer = order > 0;
    // A resync accepts a lower version, once: what it returned itself, or what was applied since, counts again. What
    // stands without having been returned is noted as returned when it is.
    const isResynced =
      page.resync && held !== undefined && held.seen !== number && (order === 0 || !stands(held));
    if (!isNewer && !isResynced) continue;
    draft.hold(key, version, deleted ? null : JSON.stringify(payload), number);
    applied++;
  }
  const ends = page.resync && !page.more;
  const dropped = ends ? dropUnseen(ledger, draft, stands) : 0;
  const active = page.resync ? !ends : before.active;
  draft.setState({ cursor: page.cursor, resync: { number, active } });
  return { applied, dropped };
}

function dropUnseen(
  ledger: Ledger,
  draft: Draft,
  stands: (held: Pick<Held, 'seen' | 'settledMs'>) => boolean,
): number {
  let dropped = 0;
  for (const key of ledger.held.keys()) {
    const held = draft.versionHeld(key);
    if (held === undefined || stands(held)) continue;
    draft.forget(key);
    dropped++;
  }
  return dropped;
}
