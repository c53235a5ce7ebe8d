// Several buckets' keys side by side. Each listing comes in order, so that walking them together needs no memory of
// what went by, however much is in them.
import { auditFolder, ENTRIES_PREFIX, parseAuditKey } from '../../protocol/audit.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { AuditPlace } from './places.ts';

export interface HeldKey {
  readonly key: string;
  readonly places: ReadonlySet<AuditPlace>;
}

/** Every key under a prefix with the places that have it, in order. */
export async function* keysOf(places: readonly AuditPlace[], prefix: string): AsyncGenerator<HeldKey> {
  const cursors = await Promise.all(
    places.map(async (place) => {
      const keys = place.keys(prefix)[Symbol.asyncIterator]();
      return { place, keys, at: await keys.next() };
    }),
  );
  for (;;) {
    const heads = cursors.flatMap(({ at }) => (at.done ? [] : [at.value]));
    if (heads.length === 0) return;
    const key = heads.reduce((least, head) => (head < least ? head : least));
    const having = cursors.filter(({ at }) => !at.done && at.value === key);
    yield { key, places: new Set(having.map(({ place }) => place)) };
    for (const cursor of having) cursor.at = await cursor.keys.next();
  }
}

export interface HeldRecord {
  readonly record: RecordKey;
  /** Its keys in each place; a place that has none is not in it. */
  readonly keys: ReadonlyMap<AuditPlace, readonly string[]>;
}

/** Every record that some place has entries of. `onStray` hears of keys that name no entry. */
export async function* recordsOf(
  places: readonly AuditPlace[],
  onStray: (held: HeldKey) => void,
): AsyncGenerator<HeldRecord> {
  let group: { record: RecordKey; keys: Map<AuditPlace, string[]> } | undefined;
  for await (const held of keysOf(places, ENTRIES_PREFIX)) {
    const link = parseAuditKey(held.key);
    if (!link) {
      onStray(held);
      continue;
    }
    if (group && auditFolder(group.record) !== auditFolder(link.record)) {
      yield group;
      group = undefined;
    }
    group ??= { record: link.record, keys: new Map() };
    for (const place of held.places) {
      const keys = group.keys.get(place) ?? [];
      keys.push(held.key);
      group.keys.set(place, keys);
    }
  }
  if (group) yield group;
}
