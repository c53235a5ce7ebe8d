// The audit bucket port: where entries of the audit trail go to stay, and losing payloads that no outbox holds
// (PROTOCOL 2, 4.3), and who moved the service when and why (DESIGN §4). Everything in it is named by its hash or its
// epoch, so that putting a thing twice puts the same thing.
import type { RecordKey } from '../../protocol/names.ts';
import type { RoutingChange } from '../../protocol/routing.ts';

/**
 * One region's audit bucket. Every method throws `StoreUnavailableError` when the bucket refuses or does not answer;
 * a put that may have landed may be repeated at any time.
 */
export interface AuditStore {
  /** Puts an entry's text where its sequence and hash say. What stands there already stays: it is the same, by its hash. */
  archive(record: RecordKey, sequence: number, hash: string, text: string): Promise<void>;
  /** `payload` is canonical JSON text, `sha256` of its UTF-8 bytes in hex. What stands there already stays. */
  putPayload(tenant: string, sha256: string, payload: string): Promise<void>;
  /** Undefined when there is none. Whether it is whole is the caller's to check. */
  payload(tenant: string, sha256: string): Promise<string | undefined>;
  /** Undefined when there is none. Whether it is whole is the caller's to check. */
  entry(record: RecordKey, sequence: number, hash: string): Promise<string | undefined>;
  /** Puts a change of the routing state where its epoch says. What stands there already stays. */
  archiveRouting(change: RoutingChange): Promise<void>;
}
