// Audit entries that a journal tells of and the Region's audit bucket lacks (PROTOCOL 4.3): an archiver that could not put
// an entry until its stream record expired, and then forgot of it. The journal has the record's image with the entry in
// it, and each entry names the one before, so that a chain is followed back to where the archive is whole.
import { auditKey, lostElsewhere } from '../protocol/audit.ts';
import type { ImageJson, JournalChange } from '../protocol/journal.ts';
import type { AuditRegions } from './audit-regions.ts';
import { archivableOf, linkBefore, parseEntry, RecentKeys } from './core/archiving.ts';
import { copyPayload, createGapFiller } from './gaps.ts';
import { StoreUnavailableError } from './store/store.ts';
import type { Telemetry } from './telemetry.ts';

/** Entries known to be there, so that a record's next images ask for none of them again. */
const RECENT_MAX = 20_000;

export interface AuditCareParts {
  readonly region: string;
  readonly audits: AuditRegions;
  readonly telemetry: Telemetry;
}

export interface AuditFindings {
  /** Entries put into the bucket. */
  readonly filled: number;
  /** Entries and payloads that no bucket has. */
  readonly missing: number;
  /** Those that a bucket which did not answer may have. */
  readonly open: number;
}

export interface AuditCare {
  /** Sees to the entries that changes carry. @throws {StoreUnavailableError} the Region's own bucket does not answer */
  look(changes: readonly JournalChange[]): Promise<void>;
  /** What it came to since the last time, once what it leads back to is seen to, as far as time allows. */
  finish(isTimeUp: () => boolean): Promise<AuditFindings>;
}

export function createAuditCare({ region, audits, telemetry }: AuditCareParts): AuditCare {
  const recent = new RecentKeys(RECENT_MAX);
  const gaps = createGapFiller({ region, audits, telemetry, recent });
  let counts = { filled: 0, missing: 0, open: 0 };

  async function lookAt(image: ImageJson | null): Promise<void> {
    if (image === null) return;
    const archivable = archivableOf(image);
    if (!archivable) return;
    const { record, entries } = archivable;
    for (const { sequence, hash, text } of entries) {
      const key = auditKey(record, sequence, hash);
      if (recent.has(key)) continue;
      if ((await audits.own.entry(record, sequence, hash)) === undefined) {
        await audits.own.archive(record, sequence, hash, text);
        counts.filled += 1;
      }
      const entry = parseEntry(text);
      const sha256 = entry && lostElsewhere(entry);
      const before = entry && linkBefore({ ...entry, record, sequence });
      if (before) gaps.suspect(before);
      if (entry && sha256 !== undefined)
        try {
          await copyPayload(audits, entry.region, record.tenant, sha256);
        } catch (error) {
          telemetry.error('a losing payload stays where it was put', error, { from: entry.region, sha256 });
          counts[error instanceof StoreUnavailableError ? 'open' : 'missing'] += 1;
          continue;
        }
      recent.add(key);
    }
  }

  return {
    async look(changes) {
      for (const { image } of changes) await lookAt(image);
    },
    async finish(isTimeUp) {
      const findings = counts;
      counts = { filled: 0, missing: 0, open: 0 };
      for (;;) {
        const found = await gaps.fill();
        findings.filled += found.filled;
        findings.missing += found.missing;
        const goesOn = found.more && found.open === 0 && !isTimeUp();
        if (goesOn) continue;
        findings.open += found.open + (found.more ? 1 : 0);
        return findings;
      }
    },
  };
}
