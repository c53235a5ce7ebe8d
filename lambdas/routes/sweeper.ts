// Removes tombstones that nobody can miss any more (PROTOCOL 7): once an hour, in the active region, a shard of index
// `tombstones` after the other. A run ends when its time is up; what it left, the next one finds in the same index.
import { FEED_SHARDS } from '../../protocol/limits.ts';
import { METRICS } from '../../protocol/metrics.ts';
import { outboxEntries } from '../core/audit.ts';
import { type Sweeping, shardsInTurn, sweepBefore, sweepingIn } from '../core/sweeping.ts';
import { enterJob } from '../fence.ts';
import type { Service } from '../service.ts';
import type { AuditStore } from '../store/audit-store.ts';
import type { Store, Tombstone } from '../store/store.ts';

export interface SweeperParts extends Pick<Service, 'place' | 'generation' | 'telemetry' | 'now'> {
  readonly store: Pick<Store, 'routing' | 'enterJob' | 'tombstones' | 'sweep' | 'read' | 'trim'>;
  readonly audit: Pick<AuditStore, 'archive'>;
}

/** Half of what the function may take, so that what is under way can end. */
const RUN_MS_MAX = 150_000;
const PAGE_TOMBSTONES = 50;

/** Rejects when the table does not answer; what it removed until then is removed. */
export function createSweeper({ store, place, generation, telemetry, now, audit }: SweeperParts) {
  /** Reads both items anew. */
  async function judge(): Promise<Sweeping> {
    const sweeping = sweepingIn(await generation.refresh(), now());
    if (!sweeping.allowed) return sweeping;
    const entry = await enterJob({ store, place, now }, 'sweep');
    return entry.entered ? sweeping : { allowed: false, why: entry.why };
  }

  /** Asked right before every write, on a copy at most 5 s old (PROTOCOL 8.1). */
  async function mayWrite(restoreEpoch: number): Promise<boolean> {
    const current = await generation.current();
    return current?.status === 'open' && current.restoreEpoch === restoreEpoch;
  }

  /** Whether it is gone now. */
  async function sweep(tombstone: Tombstone, restoreEpoch: number): Promise<boolean> {
    if (!(await mayWrite(restoreEpoch))) return false;
    if (await store.sweep(tombstone)) return true;
    if (!(await emptyOutbox(tombstone, restoreEpoch)) || !(await mayWrite(restoreEpoch))) return false;
    return store.sweep(tombstone);
  }

  /** Its archiver was in a region that was active no more when the last entry came, so that nobody trimmed it. */
  async function emptyOutbox({ key, commitVersion }: Tombstone, restoreEpoch: number): Promise<boolean> {
    const record = await store.read(key);
    if (!record?.content.deleted || record.commitVersion !== commitVersion) return false;
    if (record.audit.outbox.length === 0) return false;
    for (const { sequence, hash, text } of outboxEntries(record.audit))
      await audit.archive(key, sequence, hash, text);
    return (await mayWrite(restoreEpoch)) && store.trim(key, commitVersion, []);
  }

  async function sweepPage(page: readonly Tombstone[], restoreEpoch: number): Promise<number> {
    const swept = await Promise.all(
      page.map(async (tombstone) => {
        try {
          return await sweep(tombstone, restoreEpoch);
        } catch (error) {
          telemetry.error('a tombstone could not be swept', error, {
            commitVersion: tombstone.commitVersion,
          });
          return false;
        }
      }),
    );
    return swept.filter(Boolean).length;
  }

  return async (): Promise<void> => {
    const untilMs = now() + RUN_MS_MAX;
    let total = 0;
    let ended = 'the table did not answer';
    try {
      for (const shard of shardsInTurn(now(), FEED_SHARDS)) {
        const sweeping = await judge();
        if (!sweeping.allowed) {
          ended = sweeping.why;
          return;
        }
        let page: readonly Tombstone[] = [];
        do {
          if (now() >= untilMs) {
            ended = 'time was up';
            return;
          }
          // Behind the page before: what could not go waits for the next run, and the index may still show what has gone.
          page = await store.tombstones(shard, sweepBefore(now()), PAGE_TOMBSTONES, page.at(-1));
          total += await sweepPage(page, sweeping.restoreEpoch);
        } while (page.length === PAGE_TOMBSTONES);
      }
      ended = 'every shard was looked through';
    } finally {
      telemetry.measure([{ name: METRICS.tombstonesSwept, value: total }], { ended });
    }
  };
}
