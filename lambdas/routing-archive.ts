// Changes of the routing state go from its item, which keeps the latest of them, into this region's audit bucket, which
// keeps all of them and never gives one up (DESIGN §4). Putting one twice puts the same, so nothing has to be remembered.
import { METRICS } from '../protocol/metrics.ts';
import type { RoutingChange, RoutingState } from '../protocol/routing.ts';
import type { AuditStore } from './store/audit-store.ts';
import type { Telemetry } from './telemetry.ts';

export interface RoutingArchiveParts {
  /** Of the own region. */
  readonly audit: Pick<AuditStore, 'archiveRouting'>;
  readonly telemetry: Telemetry;
}

/**
 * Archives what this environment has not archived yet, oldest first. Never rejects: what failed was logged and counted,
 * and the next call tries again. A call while another is under way waits for that one.
 */
export function createRoutingArchive({ audit, telemetry }: RoutingArchiveParts) {
  const archived = new Set<number>();
  let underWay: Promise<void> | undefined;

  async function archive(changes: readonly RoutingChange[]): Promise<void> {
    let done = 0;
    let failures = 0;
    try {
      for (const change of changes) {
        await audit.archiveRouting(change);
        archived.add(change.epoch);
        done += 1;
      }
    } catch (error) {
      failures = 1;
      telemetry.error('changes of the routing state could not be archived', error, {
        left: changes.length - done,
      });
    }
    telemetry.measure([
      { name: METRICS.auditArchived, value: done },
      { name: METRICS.auditFailures, value: failures },
    ]);
  }

  return async (routing: RoutingState | undefined): Promise<void> => {
    const due = (routing?.changes ?? []).filter(({ epoch }) => !archived.has(epoch)).toReversed();
    if (due.length === 0) return;
    underWay ??= archive(due).finally(() => {
      underWay = undefined;
    });
    await underWay;
  };
}
