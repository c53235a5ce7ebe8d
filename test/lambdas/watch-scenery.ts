// One table for all observers and one network between them, for tests of what observers do there.
import assert from 'node:assert/strict';
import type { ProbeOutcome } from '../../lambdas/core/failover.ts';
import type { Role } from '../../lambdas/env.ts';
import { createRoutingArchive } from '../../lambdas/routing-archive.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { createWatch, type WatchParts } from '../../lambdas/watch.ts';
import { HEARTBEAT_EVERY_MS } from '../../protocol/limits.ts';
import type { ObserverReport, RoutingState } from '../../protocol/routing.ts';
import { MemoryAudit } from './audit-trail.ts';
import { outcomeOf, type Seen, SLOT_MS, START } from './failover-world.ts';
import { REGIONS, Recorder } from './functions.ts';

const { primary: P, standby: S, quorum: Q } = REGIONS;
export type Table = WatchParts['store'];

export const gone = () => new StoreUnavailableError('gone', { retryable: false, mayHaveLanded: true });
export const busy = () => new StoreUnavailableError('busy', { retryable: true, mayHaveLanded: false });

/** One table for all observers, and one network, in which regions are as `seen` says. */
export class Scenery {
  nowMs = START;
  routing: RoutingState | undefined;
  readonly reports = new Map<string, ObserverReport>();
  readonly seen: Record<string, Seen> = { [P]: 'ready', [S]: 'ready' };
  controlReached = true;
  changes = 0;
  readonly table: Table = {
    routing: async () => this.routing,
    generation: async () => ({ status: 'open', restoreEpoch: 7 }),
    observerReports: async (regions) => regions.flatMap((region) => this.reports.get(region) ?? []),
    saveObserverReport: async (report) => {
      const standing = this.reports.get(report.observer);
      if (standing && standing.slotMs >= report.slotMs) return false;
      this.reports.set(report.observer, report);
      return true;
    },
    changeRouting: async (previous, next) => {
      if (this.routing?.epoch !== previous?.epoch) return false;
      this.changes += 1;
      this.routing = next;
      return true;
    },
  };

  observer(role: Role, over: Partial<Table> = {}, parts: Partial<WatchParts> = {}) {
    const telemetry = new Recorder();
    const audit = new MemoryAudit();
    const asked: string[] = [];
    const watch = createWatch({
      place: { stage: 'dev', role, region: REGIONS[role], regions: REGIONS },
      telemetry,
      now: () => this.nowMs,
      random: () => 0,
      wait: async () => {},
      store: { ...this.table, ...over },
      observed: {
        endpoints: { [P]: P, [S]: S },
        controls: { [P]: `control ${P}`, [S]: `control ${S}`, [Q]: `control ${Q}` },
        probeIntervalMs: SLOT_MS,
        probeFailures: 3,
      },
      prober: {
        ready: async (endpoint): Promise<ProbeOutcome> => {
          asked.push(endpoint);
          return outcomeOf(this.seen[endpoint] ?? assert.fail(endpoint));
        },
        control: async (urls) => {
          asked.push(...urls);
          return this.controlReached ? { reachable: true } : { reachable: false, why: 'silence' };
        },
      },
      archive: createRoutingArchive({ audit, telemetry }),
      ...parts,
    });
    const look = () => watch.look(Math.floor(this.nowMs / SLOT_MS) * SLOT_MS);
    const heed = () => watch.heed(Math.floor(this.nowMs / HEARTBEAT_EVERY_MS) * HEARTBEAT_EVERY_MS);
    return { look, heed, watch, telemetry, audit, asked };
  }
}

/** The values of a metric, in order. */
export const valuesOf = (telemetry: Recorder, name: string) =>
  telemetry.samples.filter((sample) => sample.name === name).map(({ value }) => value);

/** The standby's observer, with a good vote of the quorum region's beside its own to come. */
export async function aboutToMove(over: Partial<Table> = {}, parts: Partial<WatchParts> = {}) {
  const it = new Scenery();
  it.seen[P] = 'unreachable';
  await it.observer('quorum').look();
  return { it, ...it.observer('standby', over, parts) };
}
