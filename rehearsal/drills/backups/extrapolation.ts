// What a restore measured here says of larger ones: at this machine's own pace, which is that of an emulated table, and at
// what a real table takes of items of this size, which bounds a restore however many work at it (config/write-rate.ts).
import type { Config } from '../../../config/config.ts';
import { TABLE_QUOTA_WRITE_UNITS_PER_S, writableGbPerMinute } from '../../../config/write-rate.ts';
import type { Line } from '../lines.ts';

/** As the configuration counts them. */
const GB = 1e9;
const SIZES_BYTES = [100 * GB, 1_000 * GB] as const;
const WRITE_UNIT_BYTES = 1_024;

export type Recovery = Config['recovery'];

export interface Measured {
  readonly itemsPerS: number;
  /** Of an item, as DynamoDB counts its size, on average. */
  readonly bytesPerItem: number;
}

/** A restore that was not measured misses the first line, and says nothing on the others. `label`: of the first. */
export function extrapolationLines(
  label: string,
  measured: Measured | undefined,
  recovery: Recovery,
): readonly Line[] {
  const { itemsPerS, bytesPerItem } = measured ?? { itemsPerS: null, bytesPerItem: 0 };
  const { warmWriteUnitsPerSecond: _, ...anyTable } = recovery;
  // Of what a unit can carry, an item fills the last one only in part.
  const bytesPerWriteUnit = bytesPerItem / Math.max(1, Math.ceil(bytesPerItem / WRITE_UNIT_BYTES));
  const quota = { ...anyTable, bytesPerWriteUnit, warmWriteUnitsPerSecond: TABLE_QUOTA_WRITE_UNITS_PER_S };
  const at = (bytesPerS: number) => (itemsPerS === null ? 'not known' : inWords(bytesPerS));
  const perS = (gbPerMinute: number) => (gbPerMinute * GB) / 60;
  return [
    {
      label,
      text:
        itemsPerS === null ? 'not known' : `${Math.round(itemsPerS)} of ${Math.round(bytesPerItem)} bytes`,
      promise: { is: '≥', limit: 1, measured: itemsPerS, unit: 'items/s' },
    },
    { label: '100 GB, 1 TB at this pace', text: at((itemsPerS ?? 0) * bytesPerItem) },
    {
      label: '100 GB, 1 TB on AWS, into a new table',
      text: at(perS(writableGbPerMinute({ ...anyTable, bytesPerWriteUnit }))),
    },
    {
      label: `the same, at the quota of ${TABLE_QUOTA_WRITE_UNITS_PER_S} write units a second`,
      text: at(perS(writableGbPerMinute(quota))),
    },
  ];
}

function inWords(bytesPerS: number): string {
  return SIZES_BYTES.map((bytes) => span((bytes / bytesPerS) * 1_000)).join(', ');
}

/** E.g. `34 min`, `5.6 h`, `12 days`. */
export function span(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 1) return `${Math.round(ms / 1_000)} s`;
  if (minutes < 100) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 100 ? `${hours.toFixed(1)} h` : `${Math.round(hours / 24)} days`;
}
