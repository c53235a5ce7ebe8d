// How fast data can be written back into a table that is new: what bounds a restore of everything, however many read and
// write for it. A stage that promises more than its table takes is refused at synth, and told what it would need.
import type { StageConfig } from './config.ts';

type Recovery = StageConfig['recovery'];
type Check = (key: string, value: number, min: number, max: number) => void;
type Fail = (key: string, expected: string, got: unknown) => never;

/** A write of an item takes a unit for each 1 KB or part of it, in every replica alike.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html */
const WRITE_UNIT_BYTES = 1_024;
/** What a new table that is paid for on demand takes at once, a table that lost all replicas and was deployed again too;
 * after that, twice its peak within 30 minutes, which a restore cannot wait for.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html */
const NEW_TABLE_WRITE_UNITS_PER_S = 4_000;
/** The default quota of a table, which AWS raises on request.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html */
export const TABLE_QUOTA_WRITE_UNITS_PER_S = 40_000;
const WARM_MAX = 1_000_000;
/** The event source mapping takes from 2; more than 50 only wait for the table.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html */
const WORKERS = { min: 2, max: 50 } as const;

/** In GB (10^9 bytes), while every unit carries as much as it is said to. */
export function writableGbPerMinute({ warmWriteUnitsPerSecond, bytesPerWriteUnit }: Recovery): number {
  const unitsPerS = warmWriteUnitsPerSecond ?? NEW_TABLE_WRITE_UNITS_PER_S;
  return (unitsPerS * (bytesPerWriteUnit ?? WRITE_UNIT_BYTES) * 60) / 1e9;
}

/** Fails for a restore rate that the table cannot take. */
export function checkWriteRate(recovery: Recovery, within: Check, fail: Fail): void {
  const { warmWriteUnitsPerSecond: warm, bytesPerWriteUnit: bytes, restoreGbPerMinute } = recovery;
  within('recovery.restoreWorkersMax', recovery.restoreWorkersMax, WORKERS.min, WORKERS.max);
  if (bytes !== undefined) within('recovery.bytesPerWriteUnit', bytes, 1, WRITE_UNIT_BYTES);
  if (warm !== undefined)
    within('recovery.warmWriteUnitsPerSecond', warm, NEW_TABLE_WRITE_UNITS_PER_S, WARM_MAX);
  const most = writableGbPerMinute(recovery);
  if (restoreGbPerMinute <= most) return;
  const has =
    warm === undefined
      ? `${NEW_TABLE_WRITE_UNITS_PER_S} write units a second, as a new table has without recovery.warmWriteUnitsPerSecond`
      : `the ${warm} write units a second of recovery.warmWriteUnitsPerSecond`;
  const wanted = Math.ceil((restoreGbPerMinute * 1e9) / 60 / (bytes ?? WRITE_UNIT_BYTES));
  fail(
    'recovery.restoreGbPerMinute',
    `at most ${most.toFixed(3)}: ${has}, of ${bytes ?? WRITE_UNIT_BYTES} bytes each (it would take ${wanted}, and the default quota of a table is ${TABLE_QUOTA_WRITE_UNITS_PER_S})`,
    restoreGbPerMinute,
  );
}
