// What is promised when records are damaged behind the service's back: every one is found and somebody is woken, every one
// is put right again from the last verified backup and the journals, and nobody who works meanwhile notices.
import type { CheckedHistory } from '../checker.ts';
import { type Line, seconds } from '../lines.ts';
import { atLeast, atMost, safetyLines } from '../sync/measures.ts';
import type { Fired } from './alarms.ts';
import type { BareFacts } from './bare-load.ts';
import { extrapolationLines, type Measured, type Recovery } from './extrapolation.ts';
import type { RestoreSaid } from './restore-said.ts';

export interface CorruptionSeen {
  /** Unix ms. */
  readonly damagedAt: number;
  /** `<tenant>/<collection>/<id>`. */
  readonly damaged: readonly string[];
  /** When the scrubber named a damaged record first. */
  readonly foundAt: ReadonlyMap<string, number>;
  /** The alarm on what it counts; undefined: it never fired. */
  readonly alarm: Fired | undefined;
  readonly restore: RestoreSaid & { readonly startedAt: number; readonly endedAt: number };
  /** When all were read as they had been, in every replica; null: never. */
  readonly repairedAt: number | null;
  readonly repaired: number;
  /** Records that were planted, and how many of them were there in the end as they had been. */
  readonly planted: number;
  readonly plantedThere: number;
  /** How often the table was closed meanwhile. */
  readonly closed: number;
  /** Of bare calls for records that nobody damaged. */
  readonly bare: BareFacts;
  /** Bare reads of damaged records while they were: those that were refused, and those that gave something wrong. */
  readonly refusedReads: number;
  readonly wrongReads: number;
  readonly bareLost: number;
  readonly bareStored: number;
  readonly checked: CheckedHistory;
  readonly measured: Measured | undefined;
}

export interface CorruptionLimits {
  readonly recovery: Recovery;
  readonly recoveryMs: number;
}

export function corruptionLines(seen: CorruptionSeen, limits: CorruptionLimits): readonly Line[] {
  const { damaged, damagedAt, foundAt, alarm, restore, repaired, repairedAt, closed, bare } = seen;
  const found = damaged.filter((name) => foundAt.has(name));
  const lastFoundAt = Math.max(...found.map((name) => foundAt.get(name) ?? 0));
  const firstFoundAt = Math.min(...found.map((name) => foundAt.get(name) ?? 0));
  const recoveredMs = repairedAt === null ? null : repairedAt - damagedAt;
  return [
    {
      label: 'damaged records found by the scrubber',
      text: `${found.length} of ${damaged.length}`,
      promise: atLeast(damaged.length, found.length, 'records'),
    },
    {
      label: 'damage to the first and the last found',
      text:
        found.length === 0
          ? 'never'
          : `${seconds(firstFoundAt - damagedAt)}, ${seconds(lastFoundAt - damagedAt)}`,
    },
    {
      label: 'people paged by its alarm',
      text: alarm === undefined ? 'none' : `${alarm.people} by ${alarm.topic}`,
      promise: atLeast(1, alarm?.people ?? 0, 'people'),
    },
    {
      label: 'damage to the page',
      text: alarm === undefined ? 'never' : seconds(alarm.at - damagedAt),
      promise: {
        is: '<',
        limit: limits.recoveryMs / 1_000,
        measured: alarm ? (alarm.at - damagedAt) / 1_000 : null,
        unit: 's',
      },
    },
    {
      label: 'npm run restore ended with',
      text: `${restore.exitCode} after ${seconds(restore.endedAt - restore.startedAt)}`,
      promise: { is: '=', limit: 0, measured: restore.exitCode, unit: 'exit code' },
    },
    {
      label: 'repaired, as they were in every replica',
      text: `${repaired} of ${damaged.length}`,
      promise: atLeast(damaged.length, repaired, 'records'),
    },
    {
      label: 'damage to all repaired',
      text: recoveredMs === null ? 'never' : seconds(recoveredMs),
      promise: {
        is: '<',
        limit: limits.recoveryMs / 1_000,
        measured: recoveredMs === null ? null : recoveredMs / 1_000,
        unit: 's',
      },
    },
    {
      label: 'planted records there, as they were',
      text: `${seen.plantedThere} of ${seen.planted}`,
      promise: atLeast(seen.planted, seen.plantedThere, 'records'),
    },
    { label: 'times the table was closed', text: String(closed), promise: atMost(0, closed, 'times') },
    {
      label: 'bare calls failed, damaged records aside',
      text: `${bare.failed} of ${bare.calls}`,
      promise: atMost(0, bare.failed, 'calls'),
    },
    {
      label: 'reads that gave something damaged',
      text: `${seen.wrongReads}; ${seen.refusedReads} refused`,
      promise: atMost(0, seen.wrongReads, 'reads'),
    },
    { label: 'longest gap between bare successes', text: seconds(bare.longestGapMs) },
    {
      label: 'acknowledged bare writes lost',
      text: `${seen.bareLost} of ${seen.bareStored}`,
      promise: atMost(0, seen.bareLost, 'writes'),
    },
    ...safetyLines(seen.checked),
    ...extrapolationLines('items a second, gone over here', seen.measured, limits.recovery),
  ];
}
