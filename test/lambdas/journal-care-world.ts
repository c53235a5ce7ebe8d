// Regions whose verifications keep their journals whole, on buckets in memory and a clock of their own.
import { createAuditCare } from '../../lambdas/audit-care.ts';
import { createJournalCare } from '../../lambdas/journal-care.ts';
import type { JournalSource } from '../../lambdas/journal-reading.ts';
import type { JournalStore } from '../../lambdas/store/journal-store.ts';
import type { SavedVerification, VerificationLog } from '../../lambdas/store/verification-items.ts';
import type { JournalChange, SealedSegment } from '../../protocol/journal.ts';
import { identityOf } from '../../protocol/journal-history.ts';
import { MemoryAudit } from './audit-trail.ts';
import { gone } from './backup-world.ts';
import { REGIONS, Recorder } from './functions.ts';
import { MemoryBucket, zipped } from './journal-world.ts';

export const HOUR = 3_600_000;
export const MINUTE = 60_000;

/** A backup bucket that can be out of reach, and is listed page by page. */
export class JournalBucket extends MemoryBucket implements JournalSource, JournalStore {
  isGone = false;
  page = 7;
  reads = 0;
  /** Before every reading of a segment. */
  onRead: (key: string) => void = () => {};

  async keys(prefix: string, after = '') {
    if (this.isGone) throw gone('the bucket');
    const all = this.keysUnder(prefix).filter((key) => key > after);
    return { keys: all.slice(0, this.page), more: all.length > this.page };
  }

  async file(key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    this.reads += 1;
    this.onRead(key);
    if (this.isGone) throw gone('the bucket');
    const content = this.objects.get(key);
    return content && pieces(content);
  }

  override async put(key: string, content: Uint8Array | string): Promise<void> {
    if (this.isGone) throw gone('the bucket');
    await super.put(key, content);
  }

  hold(segments: Iterable<SealedSegment>): void {
    for (const { key, text } of segments) this.objects.set(key, zipped(text));
  }

  /** What it holds of records, whoever's stream it came from. */
  identities(): ReadonlySet<string> {
    return identitiesOf(this.segments().flatMap(({ changes }) => changes));
  }
}

async function* pieces(content: Uint8Array) {
  yield content.subarray(0, 10);
  yield content.subarray(10);
}

export function identitiesOf(changes: readonly JournalChange[]): ReadonlySet<string> {
  return new Set(changes.flatMap((change) => identityOf(change) ?? []));
}

type Role = keyof typeof REGIONS;

export interface CareOptions {
  /** Two Regions that follow each other. @default three that decide */
  readonly eventual?: boolean;
  readonly changesMax?: number;
}

export class CareWorld {
  readonly roles: readonly Role[];
  readonly buckets = new Map<string, JournalBucket>();
  readonly audits = new Map<string, MemoryAudit>();
  readonly saved = new Map<string, SavedVerification>();
  readonly telemetry = new Map<string, Recorder>();
  readonly #options: CareOptions;
  nowMs: number;

  constructor(nowMs: number, options: CareOptions = {}) {
    this.nowMs = nowMs;
    this.#options = options;
    this.roles = options.eventual ? ['primary', 'standby'] : ['primary', 'standby', 'quorum'];
    for (const role of this.roles) {
      this.buckets.set(REGIONS[role], new JournalBucket());
      this.audits.set(REGIONS[role], new MemoryAudit());
      this.telemetry.set(REGIONS[role], new Recorder());
    }
  }

  readonly log: VerificationLog = {
    load: async (what) => this.saved.get(what) ?? { revision: 0, state: undefined },
    save: async (what, saved) => {
      if ((this.saved.get(what)?.revision ?? 0) !== saved.revision - 1) return false;
      this.saved.set(what, saved);
      return true;
    },
  };

  bucket(role: Role): JournalBucket {
    return this.buckets.get(REGIONS[role]) as JournalBucket;
  }

  audit(role: Role): MemoryAudit {
    return this.audits.get(REGIONS[role]) as MemoryAudit;
  }

  said(role: Role): Recorder {
    return this.telemetry.get(REGIONS[role]) as Recorder;
  }

  last(role: Role, name: string): number | undefined {
    return this.said(role).samples.findLast((sample) => sample.name === name)?.value;
  }

  /** An invocation in one Region. */
  async run(role: Role): Promise<void> {
    const region = REGIONS[role];
    const telemetry = this.said(role);
    const regions = this.#options.eventual ? { primary: REGIONS.primary, standby: REGIONS.standby } : REGIONS;
    const without = <T>(all: ReadonlyMap<string, T>) => new Map([...all].filter(([at]) => at !== region));
    const audits = { own: this.audit(role), peers: without(this.audits) };
    const { changesMax } = this.#options;
    await createJournalCare({
      place: { stage: 'dev', role, region, regions },
      telemetry,
      now: () => this.nowMs,
      log: this.log,
      own: this.bucket(role),
      peers: without(this.buckets),
      audit: createAuditCare({ region, audits, telemetry }),
      ...(changesMax !== undefined && { changesMax }),
    })();
  }
}
