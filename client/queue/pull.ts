// What others changed goes into the records held, and the checkpoint moves with it in one commit (PROTOCOL 6.4).
import type { PullResponse } from '../../protocol/messages.ts';
import { compareVersions } from '../../protocol/versions.ts';
import type { Draft } from './draft.ts';
import { keyOf, type Ledger } from './ledger.ts';

export interface Pulled {
  /** Changes that were news; the rest was held already. */
  readonly applied: number;
  /** Records a resync did not return, dropped at its last page. */
  readonly dropped: number;
}

export function draftPull(ledger: Ledger, draft: Draft, page: PullResponse): Pulled {
  const before = draft.state.resync;
  const begins = page.resync && !before.active;
  const number = begins ? before.number + 1 : before.number;
  let applied = 0;
  for (const { collection, id, version, deleted, payload } of page.changes) {
    const key = keyOf(collection, id);
    draft.observe(version);
    const held = draft.versionHeld(key);
    const isNewer = held === undefined || compareVersions(version, held.version) > 0;
    // A resync accepts a lower version, once: what it returned itself, or what was applied since, counts again.
    const isResynced = page.resync && held !== undefined && held.seen !== number;
    if (!isNewer && !isResynced) continue;
    draft.hold(key, version, deleted ? null : JSON.stringify(payload), number);
    applied++;
  }
  const ends = page.resync && !page.more;
  const dropped = ends ? dropUnseen(ledger, draft, number) : 0;
  const active = page.resync ? !ends : before.active;
  draft.setState({ cursor: page.cursor, resync: { number, active } });
  return { applied, dropped };
}

function dropUnseen(ledger: Ledger, draft: Draft, number: number): number {
  let dropped = 0;
  for (const key of ledger.held.keys()) {
    if (draft.versionHeld(key)?.seen === number) continue;
    draft.forget(key);
    dropped++;
  }
  return dropped;
}
