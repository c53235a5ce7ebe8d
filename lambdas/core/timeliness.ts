// Versions too far from the server's time (PROTOCOL 3.3). Either answer needs a consistent read first: an operation
// that was settled is a duplicate, however old or early it looks now.
import {
  CLOCK_AHEAD_MS_MAX,
  OPERATION_AGE_MS_MAX,
  REPLAYED_OPERATION_AGE_MS_MAX,
} from '../../protocol/limits.ts';
import { clockOf } from '../../protocol/versions.ts';
import type { Edit } from './record.ts';

export type Timeliness = 'in_time' | 'ahead' | 'too_old';

export function timelinessOf(
  { version, replayed }: Pick<Edit, 'version' | 'replayed'>,
  nowMs: number,
): Timeliness {
  const ageMs = nowMs - clockOf(version).ms;
  if (ageMs < -CLOCK_AHEAD_MS_MAX) return 'ahead';
  return ageMs > (replayed ? REPLAYED_OPERATION_AGE_MS_MAX : OPERATION_AGE_MS_MAX) ? 'too_old' : 'in_time';
}
