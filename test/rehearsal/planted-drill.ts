// A failover drill as it could have gone, with no system behind it: five minutes of load, marks close together, a gap at
// the fault, DNS that follows late. For what is drawn and reported of one.
import type { OperationEntry } from '../../rehearsal/drills/failover/history.ts';
import { measure } from '../../rehearsal/drills/failover/measure.ts';
import { outcomeOf } from '../../rehearsal/drills/failover/outcome.ts';
import type { VariantResult } from '../../rehearsal/drills/failover/run.ts';
import type { ScenarioResult } from '../../rehearsal/drills/scenario.ts';
import { NETWORK_PARTITION, networkPartition } from '../../rehearsal/drills/scenarios/network-partition.ts';
import type { Marker } from '../../rehearsal/drills/svg.ts';

const START = 1_700_000_000_000;
const FAULT = START + 20_000;
const EAST = 'us-east-2';
const WEST = 'us-west-2';

/** Seconds after the fault. */
const MARKS: readonly (readonly [number, string, Marker['style']])[] = [
  [0, 'partition', 'fault'],
  [41, 'us-west-2 active', 'good'],
  [44, 'us-west-2 ready twice', 'good'],
  [46, 'evacuate', 'plain'],
  [47, 'check disabled', 'plain'],
  [108, 'DNS-only served by us-west-2', 'good'],
  [109, 'revived, cut off', 'plain'],
  [112, 'revived', 'plain'],
  [270, 'check enabled', 'plain'],
  [279, 'DNS-only served by us-east-2', 'good'],
];

function history(seconds: number): readonly OperationEntry[] {
  return Array.from({ length: seconds * 20 }, (_, n) => {
    const scheduledAt = START + n * 50;
    const after = scheduledAt - FAULT;
    const waits = after > -60 && after < 260 ? 300 - after : 0;
    const client = n % 10 === 0 ? 'dns' : 'library';
    const isLost = client === 'dns' && after > 0 && after < 108_000;
    const endedAt = scheduledAt + (client === 'library' ? waits : 0) + 30 + (n % 7) * 4;
    const region = after > -60 ? WEST : EAST;
    return {
      client,
      operation: n % 4 === 0 ? 'put' : 'get',
      key: `drill/${n}`,
      scheduledAt,
      endedAt,
      ok: !isLost,
      ...(isLost ? { error: 'timed out' } : { status: 200, region, receivedAt: endedAt - 10 }),
      attempts: [{ region, kind: 'first', startedAt: scheduledAt, endedAt, outcome: 'settled', status: 200 }],
    } satisfies OperationEntry;
  });
}

export function plantedDrill(seconds = 330): ScenarioResult {
  const [variant] = NETWORK_PARTITION.variants;
  if (variant === undefined) throw new Error('a partition has a variant');
  const all = history(seconds);
  const endedAt = START + seconds * 1_000;
  const result: VariantResult = {
    variant,
    region: EAST,
    startedAt: START,
    steadyFrom: FAULT - 10_000,
    faultAt: FAULT,
    endedAt,
    measurements: measure({
      history: all,
      steadyFrom: FAULT - 10_000,
      faultAt: FAULT,
      region: EAST,
      missing: [],
      leaves: true,
      dnsExpected: true,
    }),
    missing: [],
    targets: [],
    rows: [],
    marks: MARKS.map(([after, text, style]) => ({ at: FAULT + after * 1_000, text, style })).filter(
      ({ at }) => at < endedAt,
    ),
    history: all,
    looks: [],
    changes: [],
    orders: [],
    notes: [],
  };
  return { scenario: networkPartition, seed: 1, ...outcomeOf([result]) };
}
