// Records as they are but for what a restore stamps anew (PROTOCOL 8.1).
import type { ExportedItem } from '../../protocol/export-files.ts';

const STAMPED = ['commitVersion', 'feedOrder', 'sweepShard', 'sweepOrder'];
export const unstamped = (items: ReadonlyMap<string, ExportedItem>) =>
  new Map(
    [...items].map(([pk, item]) => [
      pk,
      Object.fromEntries(
        Object.entries(item)
          .filter(([name]) => !STAMPED.includes(name))
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      ),
    ]),
  );
