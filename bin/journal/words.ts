// What there is to say of a journal, in lines.
import type { JournalGap } from '../../protocol/journal-gaps.ts';
import type { Parked } from './fill.ts';
import type { JournalReport, Lacking } from './verify.ts';

/** Of each kind, so many are named. */
const NAMED_MAX = 20;

export function linesOf(report: JournalReport, parked: readonly Parked[]): readonly string[] {
  const { region, hours, segments, changes, damaged, gaps, lacking, isWhole } = report;
  const found = [
    ...some(damaged.map(({ key, why }) => `damaged: ${why.startsWith(key) ? why : `${key}: ${why}`}`)),
    ...some(gaps.map(wordsOf)),
    ...some(lacking.map((it) => lackingWords(it, region))),
    ...some(parked.map((it) => parkedWords(it, region))),
  ];
  const verdict = isWhole && parked.length === 0 ? 'nothing is missing' : 'NOT WHOLE';
  const sum = `${hours} hours, ${segments} segments, ${changes} changes`;
  return [`${region}: ${sum}; ${verdict}`, ...found.map((it) => `  ${it}`)];
}

function some(lines: readonly string[]): readonly string[] {
  if (lines.length <= NAMED_MAX) return lines;
  return [...lines.slice(0, NAMED_MAX), `… and ${lines.length - NAMED_MAX} more like these`];
}

function wordsOf(gap: JournalGap): string {
  switch (gap.kind) {
    case 'silence':
      return `silent from ${timeOf(gap.fromMs)} to ${timeOf(gap.toMs)}`;
    case 'segment':
      return `segment ${gap.key} is missing: ${gap.namedBy} was written after it`;
    case 'change': {
      const what = gap.removal ? 'the removal of' : 'the change to';
      return `${gap.pk} ${gap.sk}: ${what} ${gap.commitVersion} is missing, which change ${gap.namedBy.seq} of ${gap.namedBy.key} replaced`;
    }
  }
}

function lackingWords({ from, segment, changes }: Lacking, region: string): string {
  return `${changes.length} changes are in ${from.region} only, in ${segment.key}: npm run journal -- fill --region ${region}`;
}

function parkedWords({ from, key, home }: Parked, region: string): string {
  return home === undefined
    ? `a stream record that is no change is parked in ${from.region}: ${key}`
    : `parked in ${from.region}: ${key}: npm run journal -- fill --region ${region}`;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
