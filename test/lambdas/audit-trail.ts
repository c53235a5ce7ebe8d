// Audit buckets in memory that can be taken down, and trails to put into them.

import { sha256Of } from '../../lambdas/core/canonical.ts';
import type { AuditStore } from '../../lambdas/store/audit-store.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { type AuditEntry, auditKey, auditText, CHAIN_START, losingPayloadKey } from '../../protocol/audit.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { type RoutingChange, routingChangeKey } from '../../protocol/routing.ts';
import { asVersion, versionOf } from '../../protocol/versions.ts';

const MAKER = 'a'.repeat(16);
export const versionAt = (ms: number) => asVersion(versionOf({ ms, counter: 0 }, MAKER));

export class MemoryAudit implements AuditStore {
  /** By their keys in a bucket. */
  readonly objects = new Map<string, string>();
  /** Every call, as `put <key>` or `get <key>`. */
  readonly calls: string[] = [];
  /** Whether a call is refused, by the same words. */
  down: (call: string) => boolean = () => false;

  #call(kind: 'put' | 'get', key: string): void {
    const call = `${kind} ${key}`;
    this.calls.push(call);
    if (this.down(call))
      throw new StoreUnavailableError('the bucket is down', { retryable: true, mayHaveLanded: false });
  }

  #put(key: string, text: string): void {
    this.#call('put', key);
    if (!this.objects.has(key)) this.objects.set(key, text);
  }

  #get(key: string): string | undefined {
    this.#call('get', key);
    return this.objects.get(key);
  }

  async archive(record: RecordKey, sequence: number, hash: string, text: string): Promise<void> {
    this.#put(auditKey(record, sequence, hash), text);
  }
  async archiveRouting(change: RoutingChange): Promise<void> {
    this.#put(routingChangeKey(change), JSON.stringify(change));
  }
  async putPayload(tenant: string, sha256: string, payload: string): Promise<void> {
    this.#put(losingPayloadKey(tenant, sha256), payload);
  }
  async payload(tenant: string, sha256: string): Promise<string | undefined> {
    return this.#get(losingPayloadKey(tenant, sha256));
  }
  async entry(record: RecordKey, sequence: number, hash: string): Promise<string | undefined> {
    return this.#get(auditKey(record, sequence, hash));
  }
}

export interface TrailEntry {
  readonly entry: AuditEntry;
  readonly text: string;
  readonly hash: string;
  /** Where it is archived. */
  readonly key: string;
}

export interface TrailOptions {
  /** @default 'us-east-2' */
  readonly region?: string;
  /** Payloads that lost and stand in the bucket instead, by sequence. */
  readonly elsewhere?: Readonly<Record<number, string>>;
  /** Tells one trail of a record from another. @default 0 */
  readonly salt?: number;
  /** That it goes on from. @default none */
  readonly onto?: readonly TrailEntry[];
  /** Ends of branches left, by the sequence of the entry that leaves them. */
  readonly merges?: Readonly<Record<number, Pick<TrailEntry, 'entry' | 'hash'>>>;
}

/** A record's first `count` entries, those it goes on from included, in each of which the incoming side wins over a payload. */
export function trailOf(record: RecordKey, count: number, options: TrailOptions = {}): readonly TrailEntry[] {
  const { region = 'us-east-2', elsewhere = {}, salt = 0, onto = [], merges = {} } = options;
  const trail: TrailEntry[] = [...onto];
  for (let sequence = onto.length + 1; sequence <= count; sequence += 1) {
    const left = merges[sequence];
    const lost = elsewhere[sequence] ?? JSON.stringify({ lost: sequence });
    const entry: AuditEntry = {
      record,
      sequence,
      previous: trail.at(-1)?.hash ?? CHAIN_START,
      at: 1_700_000_000_000 + sequence + salt,
      region,
      outcome: 'incoming',
      votes: [
        { region: 'us-east-2', vote: 'incoming' },
        { region: 'us-west-2', vote: 'incoming' },
        { region: 'us-east-1', vote: 'absent' },
      ],
      incoming: {
        version: versionAt(2_000 + sequence),
        deleted: false,
        sha256: sha256Of('won'),
        session: 's'.repeat(32),
        sequence,
      },
      stored: {
        version: versionAt(1_000 + sequence),
        deleted: false,
        sha256: sha256Of(lost),
        commitVersion: versionAt(1_000 + sequence),
      },
      ...(left && { merges: { sequence: left.entry.sequence, hash: left.hash } }),
      ...(elsewhere[sequence] === undefined && { lost }),
    };
    const text = auditText(entry);
    const hash = sha256Of(text);
    trail.push({ entry, text, hash, key: auditKey(record, sequence, hash) });
  }
  return trail;
}
