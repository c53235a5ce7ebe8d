// The audit buckets of all regions, seen from the one a function runs in.
import { readAuditBucketsFrom } from './env.ts';
import type { AuditStore } from './store/audit-store.ts';
import { createS3AuditStore, createS3Client } from './store/s3-audit-store.ts';

export interface AuditRegions {
  readonly own: AuditStore;
  /** By region, without its own. */
  readonly peers: ReadonlyMap<string, AuditStore>;
}

/** No client waits for what uses these, and a peer's bucket is far away. */
const ATTEMPT_MS = 5_000;

/** From the environment. */
export function createAuditRegions(region: string): AuditRegions {
  const { own, peers } = readAuditBucketsFrom(region);
  const storeIn = (at: string, bucket: string) =>
    createS3AuditStore({ client: createS3Client({ region: at }), bucket, attemptMs: ATTEMPT_MS });
  return {
    own: storeIn(region, own),
    peers: new Map(Object.entries(peers).map(([at, bucket]) => [at, storeIn(at, bucket)])),
  };
}
