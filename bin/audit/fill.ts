// Copies into one region's audit bucket what the others have and it lacks (PROTOCOL 4.3): stream records live 24 h, and
// an archiver that was down for longer leaves a gap. Nothing is copied that does not hash to its own name.
import { ENTRIES_PREFIX, LOSING_PAYLOADS_PREFIX, parseAuditKey } from '../../protocol/audit.ts';
import { keysOf } from './listing.ts';
import type { AuditPlace } from './places.ts';
import { sha256Of } from './verify.ts';

export interface FillReport {
  readonly entries: number;
  readonly payloads: number;
  /** Keys of which no other region has a copy that hashes to its name. */
  readonly damaged: readonly string[];
}

export async function fill(place: AuditPlace, peers: readonly AuditPlace[]): Promise<FillReport> {
  const damaged: string[] = [];
  const counts = { entries: 0, payloads: 0 };
  for (const [kind, prefix] of [
    ['entries', ENTRIES_PREFIX],
    ['payloads', LOSING_PAYLOADS_PREFIX],
  ] as const)
    for await (const { key, places } of keysOf([place, ...peers], prefix)) {
      if (places.has(place)) continue;
      const text = await wholeIn([...places], key);
      if (text === undefined) damaged.push(key);
      else {
        await place.put(key, text);
        counts[kind] += 1;
      }
    }
  return { ...counts, damaged };
}

/** The SHA-256 that a key says its object has; undefined for a key of neither kind. */
function hashIn(key: string): string | undefined {
  return parseAuditKey(key)?.hash ?? /^losing-payloads\/[^/]+\/([0-9a-f]{64})$/.exec(key)?.[1];
}

async function wholeIn(places: readonly AuditPlace[], key: string): Promise<string | undefined> {
  for (const place of places) {
    const text = await place.text(key);
    if (text !== undefined && sha256Of(text) === hashIn(key)) return text;
  }
  return undefined;
}
