// What there is to say of a restore, in lines.
import type { RestorePlan, Scope } from '../../protocol/restoring.ts';
import type { JournalFacts } from './journals.ts';
import type { RepairCounts } from './sinks.ts';

const NAMED_MAX = 5;

export function scopeInWords(scope: Scope): string {
  if (scope.kind === 'all') return 'all records';
  if (scope.kind === 'tenant') return `the records of tenant ${scope.tenant}`;
  const names = scope.records.map(({ tenant, collection, id }) => `${tenant}/${collection}/${id}`);
  return names.length <= NAMED_MAX ? names.join(', ') : `${names.length} records`;
}

export function planLines({ chain, journalFrom, untilMs, skipped }: RestorePlan): readonly string[] {
  const lines = skipped
    .slice(0, NAMED_MAX)
    .map(({ source, prefix, why }) => `not taken: ${prefix} in ${source}: ${why}`);
  const [first] = chain;
  const last = chain.at(-1);
  const from =
    first && last
      ? `${first.prefix} in ${first.source}${chain.length > 1 ? ` and ${chain.length - 1} on top of it, up to ${last.prefix}` : ''}, which hold ${iso(last.backup.toMs)}`
      : 'no backup';
  const then = journalFrom === undefined ? '' : `, then the journals from ${journalFrom} to ${iso(untilMs)}`;
  return [...lines, `from ${from}${then}`];
}

export function journalLine(facts: JournalFacts): string {
  const { segments, changes, damaged, damagedImages, disbelieved, reachesMs } = facts;
  const reach = [...reachesMs].map(([region, ms]) => `${region} to ${iso(ms)}`).sort();
  const odd = [
    damaged.length > 0 ? `${damaged.length} segments are damaged` : '',
    damagedImages > 0 ? `${damagedImages} changes show a damaged record and are passed over` : '',
    disbelieved > 0 ? `${disbelieved} removals are not the sweeper's and are not believed` : '',
  ].filter((it) => it !== '');
  return [
    `journals: ${changes} changes in ${segments} segments (${reach.join(', ') || 'none'})`,
    ...odd,
  ].join('; ');
}

export function countsInWords(
  { kept, mended, filled, replaced }: RepairCounts,
  tense: 'would' | 'did',
): string {
  const verb = tense === 'would' ? 'to be ' : '';
  return `${kept} there and whole, ${mended} ${verb}mended, ${filled} ${verb}filled in, ${replaced} ${verb}replaced`;
}

export function iso(atMs: number): string {
  return new Date(atMs).toISOString().replace('.000Z', 'Z');
}
