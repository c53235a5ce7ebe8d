// What is promised when two Regions' copies of a backup fail and the third's is damaged: both are told, to people and in
// words that name the file; no restore takes the damaged one; what is older and verified, or another Region's, is taken;
// and once the buckets are back nothing is missing.
import type { CheckedHistory } from '../checker.ts';
import { type Line, seconds } from '../lines.ts';
import { atLeast, atMost, safetyLines } from '../sync/measures.ts';
import type { Fired } from './alarms.ts';
import { extrapolationLines, type Measured, type Recovery } from './extrapolation.ts';
import type { RestoreSaid } from './restore-said.ts';

export interface SabotageSeen {
  /** Regions whose daily backup was verified before anything was done. */
  readonly verifiedBefore: number;
  /** When the copies were counted with two buckets gone, Unix ms, and what the metric said; null: nothing. */
  readonly countedAt: number;
  readonly failed: number | null;
  readonly critical: Fired | undefined;
  /** The file that was damaged, when it was looked at, and what its verdict says. */
  readonly rotten: string;
  readonly verifiedAt: number;
  readonly verdict: string | undefined;
  readonly named: readonly string[];
  readonly corrupted: Fired | undefined;
  /** Asked for the damaged one. */
  readonly refused: RestoreSaid;
  /** With two buckets gone, and which backup it went by. */
  readonly older: RestoreSaid;
  readonly olderFrom: string | undefined;
  /** Records that were damaged for it, and those it put right. */
  readonly damaged: number;
  readonly repaired: number;
  /** Once the buckets were back: what a restore would take, what the metric says, what the alarm would come to. */
  readonly anotherFrom: string | undefined;
  readonly anotherExit: number | null;
  readonly failedAfter: number | null;
  /** How long after the last bad count the alarm is over by its definition, ms; null: never. */
  readonly clearsAfterMs: number | null;
  readonly verifiedAfter: number;
  readonly regions: number;
  readonly bareLost: number;
  readonly bareStored: number;
  readonly checked: CheckedHistory;
  readonly measured: Measured | undefined;
}

export interface SabotageLimits {
  readonly recovery: Recovery;
  readonly thirdRegion: string;
  /** The damaged backup's prefix. */
  readonly prefix: string;
}

/** Two periods of an hour, which end with whole minutes, and the minute until it is looked at. */
const CLEARS_MS_MAX = 2 * 3_600_000 + 2 * 60_000;

export function sabotageLines(seen: SabotageSeen, limits: SabotageLimits): readonly Line[] {
  const { thirdRegion, prefix } = limits;
  const { refused, older, olderFrom, anotherFrom, rotten } = seen;
  const isNamed = seen.named.includes(rotten) ? 1 : 0;
  const says = refused.why.includes(rotten) ? 1 : 0;
  const isOlder = olderFrom?.includes(` in ${thirdRegion}`) && !olderFrom.includes(prefix) ? 1 : 0;
  const isAnother = anotherFrom !== undefined && !anotherFrom.includes(` in ${thirdRegion}`) ? 1 : 0;
  return [
    {
      label: 'Regions with a verified backup before',
      text: `${seen.verifiedBefore} of ${seen.regions}`,
      promise: atLeast(seen.regions, seen.verifiedBefore, 'Regions'),
    },
    {
      label: 'two buckets gone: backup_replicas_failed',
      text: String(seen.failed ?? 'nothing'),
      promise: { is: '=', limit: 2, measured: seen.failed, unit: 'copies' },
    },
    fired('counted to the critical alarm', seen.critical, seen.countedAt),
    {
      label: 'verdict of the copy that is left',
      text: seen.verdict ?? 'none',
      promise: { is: '=', limit: 1, measured: seen.verdict === 'corrupted' ? 1 : 0, unit: 'corrupted' },
    },
    {
      label: 'names the file that was flipped',
      text: isNamed === 1 ? 'yes' : `no: ${seen.named.join(', ') || 'nothing'}`,
      promise: { is: '=', limit: 1, measured: isNamed, unit: 'files' },
    },
    fired('verified to the corrupted alarm', seen.corrupted, seen.verifiedAt),
    {
      label: 'restore of it ended with',
      text: `${refused.exitCode}, ${refused.ending ?? 'nothing'}`,
      promise: {
        is: '=',
        limit: 1,
        measured: refused.ending === 'refused' ? refused.exitCode : null,
        unit: 'exit code',
      },
    },
    {
      label: 'and names the file',
      text: says === 1 ? 'yes' : 'no',
      promise: { is: '=', limit: 1, measured: says, unit: 'files' },
    },
    {
      label: 'restore that may choose took an older one',
      text: `${older.exitCode}, ${placeIn(olderFrom)}`,
      promise: {
        is: '=',
        limit: 0,
        measured: isOlder === 1 ? older.exitCode : null,
        unit: 'exit code',
      },
    },
    {
      label: 'records it repaired',
      text: `${seen.repaired} of ${seen.damaged}`,
      promise: atLeast(seen.damaged, seen.repaired, 'records'),
    },
    {
      label: 'buckets back: backup_replicas_failed',
      text: String(seen.failedAfter ?? 'nothing'),
      promise: { is: '=', limit: 0, measured: seen.failedAfter, unit: 'copies' },
    },
    {
      label: 'the critical alarm is over, by its definition',
      text: seen.clearsAfterMs === null ? 'never' : `${(seen.clearsAfterMs / 60_000).toFixed(0)} min after`,
      promise: { is: '≤', limit: CLEARS_MS_MAX / 1_000, measured: inSeconds(seen.clearsAfterMs), unit: 's' },
    },
    {
      label: 'Regions with a verified copy of that hour',
      text: `${seen.verifiedAfter} of ${seen.regions}`,
      promise: atLeast(seen.regions - 1, seen.verifiedAfter, 'Regions'),
    },
    {
      label: 'restore then takes another Region’s',
      text: `${seen.anotherExit}, ${placeIn(anotherFrom)}`,
      promise: {
        is: '=',
        limit: 0,
        measured: isAnother === 1 ? seen.anotherExit : null,
        unit: 'exit code',
      },
    },
    {
      label: 'acknowledged bare writes lost',
      text: `${seen.bareLost} of ${seen.bareStored}`,
      promise: atMost(0, seen.bareLost, 'writes'),
    },
    ...safetyLines(seen.checked),
    ...extrapolationLines('items a second, gone over here', seen.measured, limits.recovery),
  ];
}

/** It has to reach somebody. */
function fired(label: string, alarm: Fired | undefined, from: number): Line {
  const ms = alarm === undefined || alarm.people === 0 ? null : alarm.at - from;
  return {
    label,
    text:
      alarm === undefined
        ? 'never'
        : `${seconds(alarm.at - from)}, ${alarm.people} paged by ${alarm.topic || 'nothing'}`,
    promise: { is: '<', limit: FIRES_WITHIN_S, measured: inSeconds(ms), unit: 's' },
  };
}

/** CloudWatch looks once a minute, and what a minute held is known when it is over. */
const FIRES_WITHIN_S = 180;

function inSeconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}

/** `from daily/2026-11-24/ in us-east-1, which hold …` without the rest. */
function placeIn(line: string | undefined): string {
  return line?.replace(/^from /, '').replace(/, which hold.*$/, '') ?? 'nothing';
}
