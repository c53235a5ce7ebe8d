// What all drawings of a drill are made of: inline SVG, one frame with its axes, stacked bars a second, marks on the time
// axis. Colours come from the page's style sheet, so that they suit a light and a dark page.
export const WIDTH = 960;
const LEFT = 48;
/** Half of the widest number on the time axis, and some. */
const RIGHT = 24;
export const BOTTOM = 24;
const BUCKET_MS = 1_000;
const TICKS_MS = [
  100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000,
];
const TICKS_MAX = 14;
/** Of a character at 11 px in whatever font the reader's system has: rather too much. */
const CHAR = 7;
/** The unit of the y axis stands in the upper left corner. */
const UNIT_WIDTH = 90;
/** Of the texts of marks: the first base line, from one to the next, and room below the last. */
const LEVEL_FIRST = 12;
const LEVEL_HEIGHT = 13;
const LEVELS_BELOW = 9;
const LEVELS_MIN = 2;
/** Between a mark's line and its text. */
const TEXT_APART = 4;

/** A mark on the time axis. */
export interface Marker {
  readonly at: number;
  readonly text: string;
  readonly style: 'fault' | 'good' | 'plain';
}

/** A mark with its text where it covers no other. */
interface PlacedMark extends Marker {
  readonly left: number;
  readonly right: number;
  readonly anchor: 'start' | 'end';
  /** From 0 at the top. */
  readonly level: number;
}

export interface Frame {
  readonly from: number;
  readonly to: number;
  readonly height: number;
  readonly marks: readonly PlacedMark[];
  readonly x: (at: number) => number;
  /** @param share of the plot's height, from 0 at the bottom to 1 */
  readonly y: (share: number) => number;
}

/** @param height of a frame whose marks need two levels; more make it higher */
export function frameOf(from: number, to: number, height: number, marks: readonly Marker[] = []): Frame {
  const x = (at: number) => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const placed = placeMarks(marks, x);
  const levels = Math.max(LEVELS_MIN, ...placed.map(({ level }) => level + 1));
  const whole = height + (levels - LEVELS_MIN) * LEVEL_HEIGHT;
  const top = LEVEL_FIRST + (levels - 1) * LEVEL_HEIGHT + LEVELS_BELOW;
  return {
    from,
    to,
    height: whole,
    marks: placed,
    x,
    y: (share) => whole - BOTTOM - share * (whole - top - BOTTOM),
  };
}

/** Each text on the highest level where it has room; beside its line, to the left where the right has none. */
export function placeMarks(marks: readonly Marker[], x: (at: number) => number): readonly PlacedMark[] {
  const placed: PlacedMark[] = [];
  for (const mark of marks.toSorted((a, b) => a.at - b.at)) {
    const width = TEXT_APART + widthOf(mark.text);
    const fits = x(mark.at) + width <= WIDTH;
    const left = fits ? x(mark.at) : x(mark.at) - width;
    const right = left + width;
    const isTaken = (level: number) =>
      (level === 0 && left < UNIT_WIDTH) ||
      placed.some((it) => it.level === level && it.left < right && left < it.right);
    let level = 0;
    while (isTaken(level)) level += 1;
    placed.push({ ...mark, left, right, anchor: fits ? 'start' : 'end', level });
  }
  return placed;
}

export function widthOf(text: string): number {
  return text.length * CHAR;
}

/** Something counted a second. */
export interface Layer {
  /** In the style sheet, e.g. `region-0` or `failed`. */
  readonly style: string;
  readonly perSecond: readonly number[];
}

/** How many of `ends` fell into each second of the frame; `weight` where one counts for several. */
export function countPerSecond<T extends { readonly endedAt: number }>(
  entries: readonly T[],
  { from, to }: Pick<Frame, 'from' | 'to'>,
  weight: (entry: T) => number,
): readonly number[] {
  const buckets = Array.from({ length: Math.ceil((to - from) / BUCKET_MS) }, () => 0);
  for (const entry of entries) {
    const index = Math.floor((entry.endedAt - from) / BUCKET_MS);
    if (buckets[index] !== undefined) buckets[index] += weight(entry);
  }
  return buckets;
}

/** Layer upon layer; gives the drawing and the value at the top of the frame. */
export function stackedBars(frame: Frame, layers: readonly Layer[]): { bars: string; most: number } {
  const seconds = Math.max(0, ...layers.map(({ perSecond }) => perSecond.length));
  const below = Array.from({ length: seconds }, () => 0);
  const totals = below.map((_, index) =>
    layers.reduce((sum, { perSecond }) => sum + (perSecond[index] ?? 0), 0),
  );
  const most = niceMax(Math.max(1, ...totals));
  const bars = layers.flatMap(({ style, perSecond }) =>
    perSecond.map((count, index) => {
      if (count === 0) return '';
      const from = below[index] ?? 0;
      below[index] = from + count;
      const left = frame.x(frame.from + index * BUCKET_MS);
      const right = Math.min(frame.x(frame.from + (index + 1) * BUCKET_MS), frame.x(frame.to));
      const top = frame.y((from + count) / most);
      return `<rect class="${style}" x="${px(left)}" y="${px(top)}" width="${px(Math.max(1, right - left - 0.5))}" height="${px(frame.y(from / most) - top)}"/>`;
    }),
  );
  return { bars: bars.join(''), most };
}

export function svg({ height }: Frame, label: string, content: string): string {
  return `<svg role="img" aria-label="${escapeXml(label)}" viewBox="0 0 ${WIDTH} ${height}">${content}</svg>`;
}

export function yAxis(
  { y }: Frame,
  values: readonly number[],
  share: (value: number) => number,
  unit: string,
): string {
  const lines = values.map((value) => {
    const at = px(y(share(value)));
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/><text class="tick" text-anchor="end" x="${LEFT - 6}" y="${at}" dy="0.32em">${value}</text>`;
  });
  return `${lines.join('')}<text class="tick" x="4" y="12">${unit}</text>`;
}

/** Ticks counted from `zero`. */
export function timeAxis({ from, to, height, x }: Frame, zero: number, unit: 's' | 'ms'): string {
  const ticks: string[] = [];
  const everyMs = tickMs(to - from);
  for (let at = zero - Math.floor((zero - from) / everyMs) * everyMs; at <= to; at += everyMs) {
    const value = unit === 's' ? (at - zero) / 1_000 : at - zero;
    ticks.push(
      `<text class="tick" text-anchor="middle" x="${px(x(at))}" y="${height - 6}">${Math.round(value)}${at === zero ? ` ${unit}` : ''}</text>`,
    );
  }
  return ticks.join('');
}

/** The frame's own. Texts come after all lines, which pass behind them. */
export function markers({ x, y, marks }: Frame): string {
  const baseOf = (level: number) => LEVEL_FIRST + level * LEVEL_HEIGHT;
  const lines = marks.map(
    ({ at, style, level }) =>
      `<line class="${style}" x1="${px(x(at))}" x2="${px(x(at))}" y1="${baseOf(level) - 8}" y2="${px(y(0))}"/>`,
  );
  const texts = marks.map(({ at, text, style, anchor, level }) => {
    const beside = x(at) + (anchor === 'end' ? -TEXT_APART : TEXT_APART);
    return `<text class="mark ${style}" text-anchor="${anchor}" x="${px(beside)}" y="${baseOf(level)}">${escapeXml(text)}</text>`;
  });
  return [...lines, ...texts].join('');
}

/** A text in the middle of a span, moved where it would leave the plot. */
export function centred(from: number, to: number, y: number, text: string): string {
  const half = widthOf(text) / 2;
  const x = Math.min(Math.max((from + to) / 2, LEFT + half), WIDTH - RIGHT - half);
  return `<text class="mark note" text-anchor="middle" x="${px(x)}" y="${px(y)}">${escapeXml(text)}</text>`;
}

export function regionStyle(regions: readonly string[], region: string | undefined): string {
  return `region-${Math.max(0, regions.indexOf(region ?? ''))}`;
}

export function niceMax(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 8, 10].find((factor) => factor * magnitude >= value) ?? 10) * magnitude;
}

/** From one number on the time axis to the next. */
export function tickMs(spanMs: number): number {
  return (
    TICKS_MS.find((step) => spanMs / step <= TICKS_MAX) ?? Math.ceil(spanMs / TICKS_MAX / 60_000) * 60_000
  );
}

export function px(value: number): string {
  return value.toFixed(1);
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
