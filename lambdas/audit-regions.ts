// The audit buckets of all regions, seen from the one a function runs in.
import { EnvironmentError, readAuditBuckets } from './env.ts';
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
  const stores = new Map<string, AuditStore>(
    Object.entries(readAuditBuckets()).map(([at, bucket]) => [
      at,
      createS3AuditStore({ client: createS3Client({ region: at }), bucket, attemptMs: ATTEMPT_MS }),
    ]),
  );
  const own = stores.get(region);
  if (!own)
    throw new EnvironmentError(
      `environment variable AUDIT_BUCKETS: expected a bucket of ${region}, got those of ${[...stores.keys()].join(', ')}`,
    );
  stores.delete(region);
  return { own, peers: stores };
}
