// What is promised when every replica is emptied at once: within the hour the table is open again with what the backups,
// the journals and the clients have, no acknowledged sync operation is missing or done twice, and of bare calls no more is
// lost than the journals were behind.
import { JOURNAL_LAG_MS_MAX } from '../../../config/promises.ts';
import type { CheckedHistory } from '../checker.ts';
import { type Line, seconds } from '../lines.ts';
import { atLeast, atMost, safetyLines } from '../sync/measures.ts';
import type { BareLoss } from './bare-loss.ts';
import { extrapolationLines, type Measured, type Recovery } from './extrapolation.ts';
import type { RestoreSaid } from './restore-said.ts';

export interface LossSeen {
  /** Unix ms. */
  readonly lostAt: number;
  readonly restore: RestoreSaid & { readonly startedAt: number; readonly endedAt: number };
  /** When the table was closed, in the restore's words, when it was opened, and when a bare call went well again. */
  readonly openedAt: number | null;
  readonly servedAt: number | null;
  /** When nothing waited on any device any more. */
  readonly drainedAt: number | null;
  /** Records that were planted, and how many of them were there in the end as they had been. */
  readonly planted: number;
  readonly plantedThere: number;
  readonly epochBefore: number;
  readonly epochAfter: number;
  /** What the table's own log says of its generation since the loss, in order. */
  readonly generations: readonly string[];
  readonly bare: BareLoss;
  /** Up to when the journals reached when they were read, Unix ms; the best of the Regions. */
  readonly journalsTo: number | null;
  /** Operations that clients sent again because the service had been restored. */
  readonly replayed: number;
  /** Operations that the copies of a queue file sent which had been settled before it was copied or rolled back. */
  readonly repeated: number;
  readonly repeatedAs: Readonly<Record<string, number>>;
  /** Acknowledged edits that the rolled-back file knew nothing of any more, and how many of them are nowhere. */
  readonly forgotten: number;
  readonly forgottenLost: number;
  readonly checked: CheckedHistory;
  readonly measured: Measured | undefined;
}

export interface LossLimits {
  readonly recovery: Recovery;
  readonly recoveryMs: number;
}

/** Once each, and in this order. */
const CLOSED_AND_OPENED = ['restoring', 'open'];

export function lossLines(seen: LossSeen, limits: LossLimits): readonly Line[] {
  const { lostAt, restore, bare, journalsTo, planted, plantedThere, epochBefore, epochAfter } = seen;
  const since = (at: number | null) => (at === null ? null : (at - lostAt) / 1_000);
  const within = (label: string, at: number | null): Line => ({
    label,
    text: at === null ? 'never' : seconds(at - lostAt),
    promise: { is: '<', limit: limits.recoveryMs / 1_000, measured: since(at), unit: 's' },
  });
  const known = bare.lost.filter(({ answeredAt }) => journalsTo !== null && answeredAt < journalsTo).length;
  return [
    {
      label: 'npm run restore ended with',
      text: `${restore.exitCode} after ${seconds(restore.endedAt - restore.startedAt)}`,
      promise: { is: '=', limit: 0, measured: restore.exitCode, unit: 'exit code' },
    },
    {
      label: 'the table’s generation meanwhile',
      text: seen.generations.join(', ') || 'none',
      promise: {
        is: '=',
        limit: 1,
        measured: seen.generations.join() === CLOSED_AND_OPENED.join() ? 1 : 0,
        unit: 'closed, then opened',
      },
    },
    {
      label: 'planted records there, as they were',
      text: `${plantedThere} of ${planted}`,
      promise: atLeast(planted, plantedThere, 'records'),
    },
    {
      label: 'restore epoch raised by',
      text: `${epochAfter - epochBefore} ms`,
      promise: atLeast(1, epochAfter - epochBefore, 'ms'),
    },
    within('loss to the table open again', seen.openedAt),
    within('loss to the first bare call served', seen.servedAt),
    within('loss to nothing waiting on any device', seen.drainedAt),
    ...safetyLines(seen.checked),
    {
      label: 'operations that clients sent again',
      text: String(seen.replayed),
      promise: atLeast(1, seen.replayed, 'operations'),
    },
    {
      label: 'of them by copies of one queue file',
      text: `${seen.repeated}${wordsOf(seen.repeatedAs)}`,
      promise: atLeast(1, seen.repeated, 'operations'),
    },
    {
      label: 'edits the rolled-back file forgot, and lost',
      text: `${seen.forgotten}, ${seen.forgottenLost}`,
    },
    { label: 'acknowledged bare writes lost', text: `${bare.lost.length} of ${bare.acknowledged}` },
    {
      label: 'earliest of them before the loss',
      text: seconds(bare.oldestMs),
      promise: { is: '≤', limit: JOURNAL_LAG_MS_MAX / 1_000, measured: bare.oldestMs / 1_000, unit: 's' },
    },
    {
      label: 'of them such as a journal had',
      text: String(known),
      promise: atMost(0, journalsTo === null ? null : known, 'writes'),
    },
    ...extrapolationLines('records a second, restored here', seen.measured, limits.recovery),
  ];
}

function wordsOf(counts: Readonly<Record<string, number>>): string {
  const words = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return words.length === 0 ? '' : ` (${words.join(', ')})`;
}
