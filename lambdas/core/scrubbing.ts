// How far a scrubber has come, and what it keeps in mind between its runs: the place its pass has reached, and the items
// that it knows, or suspects, to be damaged, which every run looks at again first. Pure; the state is a control item.

/** An item by its key. */
export interface ItemPlace {
  readonly pk: string;
  readonly sk: string;
}

/** What a look at an item came to. Only a consistent read makes a fault certain: what was read before may have been
 * written meanwhile. */
export interface Finding extends ItemPlace {
  readonly why: string;
  readonly certain: boolean;
}

/** Kept in mind, since when in Unix ms. */
export interface Noted extends Finding {
  readonly sinceMs: number;
}

/** An item that was kept in mind, looked at again; `whole` also when it is gone. */
export type Relook = ItemPlace &
  (
    | { readonly kind: 'whole' }
    | { readonly kind: 'damaged'; readonly why: string }
    | { readonly kind: 'unread' }
  );

export interface ScrubState {
  /** From 1: over every item there is, once. */
  readonly pass: number;
  /** When it began, Unix ms. */
  readonly sinceMs: number;
  /** The last item that the pass has looked at; undefined at its beginning. */
  readonly after: ItemPlace | undefined;
  /** Items it has looked at so far. */
  readonly looked: number;
  /** The last one that came to its end. */
  readonly completed:
    | { readonly sinceMs: number; readonly untilMs: number; readonly looked: number }
    | undefined;
  readonly noted: readonly Noted[];
  /** Damaged items of this pass, and of the one before, that there was no room to keep in mind. */
  readonly unnoted: { readonly now: number; readonly before: number };
}

/** Together far below the 400 KB of an item, and as many as one `npm run restore` is told by name. */
export const NOTED_MAX = 1_000;
const NOTED_CHARACTERS_MAX = 200_000;
const WHY_CHARACTERS_MAX = 160;

export function beginScrub(nowMs: number): ScrubState {
  return {
    pass: 1,
    sinceMs: nowMs,
    after: undefined,
    looked: 0,
    completed: undefined,
    noted: [],
    unnoted: { now: 0, before: 0 },
  };
}

/** A page of the pass was looked at; without `next` it was the last one, and the next pass is due. */
export function pageLooked(
  state: ScrubState,
  page: { readonly items: number; readonly next: ItemPlace | undefined },
  nowMs: number,
): ScrubState {
  const looked = state.looked + page.items;
  if (page.next) return { ...state, looked, after: page.next };
  return {
    ...state,
    pass: state.pass + 1,
    sinceMs: nowMs,
    after: undefined,
    looked: 0,
    completed: { sinceMs: state.sinceMs, untilMs: nowMs, looked },
    unnoted: { now: 0, before: state.unnoted.now },
  };
}

/** What is whole again is forgotten; what could not be read stays what it was. */
export function noteRelooks(state: ScrubState, looks: readonly Relook[]): ScrubState {
  const by = new Map(looks.map((look) => [textOf(look), look]));
  const noted = state.noted.flatMap((it): readonly Noted[] => {
    const look = by.get(textOf(it));
    if (!look || look.kind === 'unread') return [it];
    return look.kind === 'whole' ? [] : [{ ...it, why: shortened(look.why), certain: true }];
  });
  return { ...state, noted };
}

/**
 * Keeps what was found in mind, as far as there is room: what is certain takes the place of what is not. `inPass`: the
 * pass has come by there, so that what found no room is counted until a pass ends that finds nothing more.
 */
export function noteFindings(
  state: ScrubState,
  findings: readonly Finding[],
  nowMs: number,
  { inPass }: { readonly inPass: boolean },
): ScrubState {
  if (findings.length === 0) return state;
  const found = new Map(state.noted.map((it) => [textOf(it), it]));
  for (const { pk, sk, why, certain } of findings) {
    const known = found.get(textOf({ pk, sk }));
    if (known?.certain && !certain) continue;
    const sinceMs = known?.sinceMs ?? nowMs;
    found.set(textOf({ pk, sk }), { pk, sk, why: shortened(why), certain, sinceMs });
  }
  const all = [...found.values()];
  const sorted = [...all.filter(({ certain }) => certain), ...all.filter(({ certain }) => !certain)];
  let room = NOTED_CHARACTERS_MAX;
  const noted = sorted.slice(0, NOTED_MAX).filter((it) => {
    room -= JSON.stringify(it).length;
    return room >= 0;
  });
  const left = inPass ? sorted.filter((it) => it.certain && !noted.includes(it)).length : 0;
  return { ...state, noted, unnoted: { ...state.unnoted, now: state.unnoted.now + left } };
}

/** Items known to be damaged now. */
export function damagedCount({ noted, unnoted }: Pick<ScrubState, 'noted' | 'unnoted'>): number {
  return noted.filter(({ certain }) => certain).length + Math.max(unnoted.now, unnoted.before);
}

/** Every item that is older than this has been looked at since. */
export function scrubAgeMs({ completed, sinceMs }: ScrubState, nowMs: number): number {
  return nowMs - (completed ?? { sinceMs }).sinceMs;
}

/** A place that need not be there: items lie in the order of their keys' hashes, so what comes behind it is a sample.
 * `random` gives 0 ≤ x < 1. */
export function samplePlace(random: () => number): ItemPlace {
  const part = () => Math.floor(random() * 2 ** 48).toString(16);
  return { pk: `SAMPLE#${part()}${part()}`, sk: 'STATE' };
}

/** What was saved is no state of a scrubber. */
export class ScrubStateError extends Error {
  override readonly name = 'ScrubStateError';
}

/** @throws {ScrubStateError} */
export function parseScrubState(text: string): ScrubState {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch (cause) {
    throw new ScrubStateError('the state of a scrubber: expected JSON', { cause });
  }
  if (isScrubState(state)) return { ...state, after: state.after, completed: state.completed };
  throw new ScrubStateError('the state of a scrubber: expected its pass, its place and what it has noted');
}

function isScrubState(value: unknown): value is ScrubState {
  if (!isRecord(value)) return false;
  const { pass, sinceMs, after, looked, completed, noted, unnoted } = value;
  return (
    areCounts([pass, sinceMs, looked]) &&
    (after === undefined || isPlace(after)) &&
    (completed === undefined ||
      (isRecord(completed) &&
        areCounts([completed['sinceMs'], completed['untilMs'], completed['looked']]))) &&
    Array.isArray(noted) &&
    noted.every(isNoted) &&
    isRecord(unnoted) &&
    areCounts([unnoted['now'], unnoted['before']])
  );
}

function isNoted(value: unknown): boolean {
  return (
    isRecord(value) &&
    isPlace(value) &&
    typeof value['why'] === 'string' &&
    typeof value['certain'] === 'boolean' &&
    areCounts([value['sinceMs']])
  );
}

function isPlace(value: unknown): boolean {
  return isRecord(value) && typeof value['pk'] === 'string' && typeof value['sk'] === 'string';
}

function areCounts(values: readonly unknown[]): boolean {
  return values.every((value) => Number.isSafeInteger(value) && Number(value) >= 0);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf({ pk, sk }: ItemPlace): string {
  return JSON.stringify([pk, sk]);
}

function shortened(why: string): string {
  return why.slice(0, WHY_CHARACTERS_MAX);
}
