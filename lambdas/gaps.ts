// What one region's audit bucket lacks and a peer's has (PROTOCOL 4.3): a losing payload that the deciding region put
// into its own bucket, and entries whose stream records expired before they were archived here. Copies are held to
// their hash, so that nothing damaged spreads.
import { auditKey, lostElsewhere } from '../protocol/audit.ts';
import type { AuditRegions } from './audit-regions.ts';
import { type ChainLink, linkBefore, parseEntry, type RecentKeys } from './core/archiving.ts';
import { sha256Of } from './core/canonical.ts';
import type { AuditStore } from './store/audit-store.ts';
import type { Telemetry } from './telemetry.ts';

/** Puts the payload into the region's own bucket unless it is there. Throws when no bucket that answers has it whole. */
export async function copyPayload(
  { own, peers }: AuditRegions,
  decidedIn: string,
  tenant: string,
  sha256: string,
): Promise<void> {
  if ((await own.payload(tenant, sha256)) !== undefined) return;
  // The deciding region put it into its own bucket before it decided; by now another may have copied it.
  const deciding = peers.get(decidedIn);
  const others = [...peers].filter(([region]) => region !== decidedIn).map(([, store]) => store);
  const payload = await firstWhole(sha256, deciding ? [deciding, ...others] : others, (store) =>
    store.payload(tenant, sha256),
  );
  if (payload === undefined)
    throw new Error(
      `losing payload ${sha256} of tenant ${tenant}: expected it in the bucket of ${decidedIn}, got none anywhere`,
    );
  await own.putPayload(tenant, sha256, payload);
}

export interface GapFillerParts {
  readonly region: string;
  readonly audits: AuditRegions;
  readonly telemetry: Telemetry;
  readonly recent: RecentKeys;
}

/** What filling came to. */
export interface GapsFilled {
  /** Entries brought here. */
  readonly filled: number;
  /** Entries that are in no bucket. */
  readonly missing: number;
  /** Those that could not be seen to: a bucket did not answer. */
  readonly open: number;
  /** Whether there are others, which were not looked at yet. */
  readonly more: boolean;
}

/** Entries looked at in one invocation; what is left goes on in the next one of this environment. */
const LINKS_MAX = 200;
/** Gaps under way; more are left to `npm run audit -- fill`. */
const GAPS_MAX = 1_000;

export interface GapFiller {
  /** Says that this entry should be in the bucket; whether it is, `fill` finds out. */
  suspect(link: ChainLink): void;
  /** Walks back from every suspect until it meets an entry that is there, at most so many links. Never rejects. */
  fill(): Promise<GapsFilled>;
}

export function createGapFiller({ region, audits, telemetry, recent }: GapFillerParts): GapFiller {
  const { own, peers } = audits;
  /** By their keys. */
  const suspects = new Map<string, ChainLink>();

  /** The entry's text, and whether it had to be brought; undefined when no region has it. What is brought here leads on
   * to the entry before. */
  async function bring(
    link: ChainLink,
  ): Promise<{ readonly text: string; readonly brought: boolean } | undefined> {
    const { record, sequence, hash } = link;
    const held = await own.entry(record, sequence, hash);
    if (held !== undefined) return { text: held, brought: false };
    const text = await firstWhole(hash, [...peers.values()], (store) => store.entry(record, sequence, hash));
    const entry = text === undefined ? undefined : parseEntry(text);
    if (text === undefined || !entry) return undefined;
    await own.archive(record, sequence, hash, text);
    const before = linkBefore(entry);
    if (before) suspect(before);
    return { text, brought: true };
  }

  async function resolve(key: string, link: ChainLink): Promise<'missing' | 'filled' | 'there'> {
    const found = await bring(link);
    if (found === undefined) {
      suspects.delete(key);
      telemetry.error('an audit entry is missing', new Error(`${key} is in no region's bucket`), { region });
      return 'missing';
    }
    const { text, brought } = found;
    // Of an entry that was here already too: when it was brought its payload may have been out of reach.
    const entry = parseEntry(text);
    const sha256 = entry && lostElsewhere(entry);
    if (entry && sha256 !== undefined) await copyPayload(audits, entry.region, link.record.tenant, sha256);
    suspects.delete(key);
    recent.add(key);
    return brought ? 'filled' : 'there';
  }

  function suspect(link: ChainLink): void {
    const key = keyOf(link);
    if (recent.has(key) || suspects.has(key)) return;
    if (suspects.size < GAPS_MAX) suspects.set(key, link);
    else telemetry.warn('too many gaps in the audit trail: run npm run audit -- fill', { region });
  }

  return {
    suspect,
    async fill() {
      const postponed = new Set<string>();
      const counts = { filled: 0, missing: 0, there: 0 };
      const next = () => [...suspects].find(([key]) => !postponed.has(key));
      for (let looked = 0; looked < LINKS_MAX; looked += 1) {
        const suspected = next();
        if (!suspected) break;
        const [key, link] = suspected;
        try {
          counts[await resolve(key, link)] += 1;
        } catch (error) {
          // It stays a suspect while this environment lives; after that, the verification or `npm run audit -- fill` finds it.
          postponed.add(key);
          telemetry.warn('a gap in the audit trail stays open', { key, why: String(error) });
        }
      }
      const { filled, missing } = counts;
      return { filled, missing, open: postponed.size, more: next() !== undefined };
    },
  };
}

function keyOf({ record, sequence, hash }: ChainLink): string {
  return auditKey(record, sequence, hash);
}

/** The first that is there and hashes to what it should. Throws what a store threw when none of the others has it. */
async function firstWhole(
  sha256: string,
  stores: readonly AuditStore[],
  ask: (store: AuditStore) => Promise<string | undefined>,
): Promise<string | undefined> {
  let failure: unknown;
  for (const store of stores)
    try {
      const text = await ask(store);
      if (text !== undefined && sha256Of(text) === sha256) return text;
    } catch (error) {
      failure = error;
    }
  if (failure !== undefined) throw failure;
  return undefined;
}
