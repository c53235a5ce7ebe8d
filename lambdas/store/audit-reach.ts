// The audit bucket port as a request sees it: what is not in its region's bucket yet may be in another's (PROTOCOL 4.3),
// and the client behind it is loaded only by the first conflict that needs a bucket, since no other request does.
import type { AuditStore } from './audit-store.ts';

/** Puts go to `own`; what a read does not find there, or cannot ask for, is looked for at the peers, in their order. */
export function withPeers(own: AuditStore, peers: readonly AuditStore[]): AuditStore {
  async function firstOf(
    read: (store: AuditStore) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    let failure: { readonly error: unknown } | undefined;
    for (const store of [own, ...peers]) {
      try {
        const text = await read(store);
        if (text !== undefined) return text;
      } catch (error) {
        failure ??= { error };
      }
    }
    // A bucket that did not answer may be the one that has it.
    if (failure) throw failure.error;
    return undefined;
  }

  return {
    archive: (record, sequence, hash, text) => own.archive(record, sequence, hash, text),
    putPayload: (tenant, sha256, payload) => own.putPayload(tenant, sha256, payload),
    payload: (tenant, sha256) => firstOf((store) => store.payload(tenant, sha256)),
    entry: (record, sequence, hash) => firstOf((store) => store.entry(record, sequence, hash)),
    archiveRouting: (change) => own.archiveRouting(change),
  };
}

/** Opened by its first call, once; by the next one again when that failed. */
export function onDemand(open: () => Promise<AuditStore>): AuditStore {
  let opened: Promise<AuditStore> | undefined;
  const store = () => {
    opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  return {
    archive: async (record, sequence, hash, text) => (await store()).archive(record, sequence, hash, text),
    putPayload: async (tenant, sha256, payload) => (await store()).putPayload(tenant, sha256, payload),
    payload: async (tenant, sha256) => (await store()).payload(tenant, sha256),
    entry: async (record, sequence, hash) => (await store()).entry(record, sequence, hash),
    archiveRouting: async (change) => (await store()).archiveRouting(change),
  };
}
