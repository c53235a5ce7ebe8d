// What `npm run restore -- --json` said, read from outside as any program would: a line of JSON a step, the last one with
// what came of it. Times are Unix ms of the command's own clock.
export interface RestoreSaid {
  readonly exitCode: number | null;
  /** The last step's, e.g. `restored`, `mended`, `refused`; undefined when it did not get that far. */
  readonly ending: string | undefined;
  /** In words: why it ended so, or the end of what it said when there is no last step. */
  readonly why: string;
  readonly steps: readonly RestoreStep[];
  readonly counts: RepairCounts | undefined;
  /** Records handed on, and of the backups among them. */
  readonly records: number | undefined;
  readonly restoreEpoch: number | undefined;
}

export interface RestoreStep {
  readonly at: number;
  readonly step: string;
  readonly says: string;
  /** Of `progress`. */
  readonly done?: number;
  readonly total?: number;
  readonly itemsPerS?: number;
}

export interface RepairCounts {
  readonly kept: number;
  readonly mended: number;
  readonly filled: number;
  readonly replaced: number;
}

/** A line, as it can be any. */
type Fields = Readonly<Record<string, unknown>>;

const END_CHARS = 2_000;

export function restoreSaid(exitCode: number | null, said: string): RestoreSaid {
  const lines = said.split('\n').flatMap((line): readonly Fields[] => objectIn(line));
  const end = lines.find((line) => line['step'] === 'end');
  const facts = end?.['facts'] as { readonly records?: number } | undefined;
  return {
    exitCode,
    ending: end === undefined ? undefined : String(end['ending']),
    why: end === undefined ? said.slice(-END_CHARS).trim() : String(end['says']),
    steps: lines.flatMap((line) => stepIn(line) ?? []),
    counts: end?.['counts'] as RepairCounts | undefined,
    records: facts?.records,
    restoreEpoch: end?.['restoreEpoch'] as number | undefined,
  };
}

/** None where the line is no JSON object. */
function objectIn(line: string): readonly Fields[] {
  if (!line.startsWith('{')) return [];
  try {
    return [JSON.parse(line) as Fields];
  } catch {
    return [];
  }
}

function stepIn({ at, step, says, done, total, itemsPerS }: Fields): RestoreStep | undefined {
  if (typeof at !== 'number' || typeof step !== 'string') return undefined;
  const isProgress = typeof done === 'number' && typeof total === 'number' && typeof itemsPerS === 'number';
  return { at, step, says: String(says), ...(isProgress ? { done, total, itemsPerS } : {}) };
}

/** When a step of that kind was first said; undefined: never. */
export function stepAt({ steps }: RestoreSaid, kind: string): number | undefined {
  return steps.find(({ step }) => step === kind)?.at;
}

/** What was gone over, how long that took, and how fast that was. */
export interface Pace {
  readonly items: number;
  readonly ms: number;
  readonly itemsPerS: number;
}

/** Of the last going-over of everything: from the step before its first progress to its last; undefined: there was none. */
export function paceOf({ steps }: RestoreSaid): Pace | undefined {
  const last = steps.findLastIndex(({ done = 0 }) => done > 0);
  const end = steps[last];
  const start = steps.slice(0, Math.max(0, last)).findLast(({ step }) => step !== 'progress');
  if (end?.done === undefined || start === undefined || end.at <= start.at) return undefined;
  const ms = end.at - start.at;
  return { items: end.done, ms, itemsPerS: (end.done * 1_000) / ms };
}

/** Of a restore that closed the table: records written, from when it began to load to when all was there. */
export function loadPace(said: RestoreSaid): Pace | undefined {
  const [from, to] = [stepAt(said, 'load'), stepAt(said, 'compare')];
  if (from === undefined || to === undefined || to <= from || said.records === undefined) return undefined;
  return { items: said.records, ms: to - from, itemsPerS: (said.records * 1_000) / (to - from) };
}

/** By Region, up to when the journals reached, as the restore read them last; Unix ms. */
export function journalsReach({ steps }: RestoreSaid): ReadonlyMap<string, number> {
  const line = steps.findLast(({ says }) => says.startsWith('journals: '))?.says ?? '';
  return new Map(
    [...line.matchAll(/([a-z0-9-]+-\d) to (\d{4}-\d\d-\d\dT[\d:.]+Z)/g)].map(([, region = '', time = '']) => [
      region,
      Date.parse(time),
    ]),
  );
}

/** The line that says what it is made from. */
export function takenFrom({ steps }: RestoreSaid): string | undefined {
  return steps.find(({ step, says }) => step === 'plan' && says.startsWith('from '))?.says;
}

/** The lines that say what was not taken, and why. */
export function notTaken({ steps }: RestoreSaid): readonly string[] {
  return steps.filter(({ says }) => says.startsWith('not taken: ')).map(({ says }) => says);
}
