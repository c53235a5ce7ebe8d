// What all drawings of a drill are made of: inline SVG, one frame with its axes, stacked bars a second, marks on the time
// axis. Colours come from the page's style sheet, so that they suit a light and a dark page.
export const WIDTH = 960;
const LEFT = 48;
const RIGHT = 12;
const TOP = 34;
export const BOTTOM = 24;
const BUCKET_MS = 1_000;

/** A mark on the time axis. */
export interface Marker {
  readonly at: number;
  readonly text: string;
  readonly style: 'fault' | 'good' | 'plain';
}

export interface Frame {
  readonly from: number;
  readonly to: number;
  readonly height: number;
  readonly x: (at: number) => number;
  /** @param share of the plot's height, from 0 at the bottom to 1 */
  readonly y: (share: number) => number;
}

export function frameOf(from: number, to: number, height: number): Frame {
  return {
    from,
    to,
    height,
    x: (at) => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - RIGHT),
    y: (share) => height - BOTTOM - share * (height - TOP - BOTTOM),
  };
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
export function timeAxis(
  { from, to, height, x }: Frame,
  zero: number,
  everyMs: number,
  unit: 's' | 'ms',
): string {
  const ticks: string[] = [];
  for (let at = zero - Math.floor((zero - from) / everyMs) * everyMs; at <= to; at += everyMs) {
    const value = unit === 's' ? (at - zero) / 1_000 : at - zero;
    ticks.push(
      `<text class="tick" text-anchor="middle" x="${px(x(at))}" y="${height - 6}">${Math.round(value)}${at === zero ? ` ${unit}` : ''}</text>`,
    );
  }
  return ticks.join('');
}

/** Texts of neighbouring marks stand on two levels. */
export function markers({ x, y }: Frame, all: readonly Marker[]): string {
  return [...all]
    .sort((a, b) => a.at - b.at)
    .map(({ at, text, style }, index) => {
      const left = x(at) > WIDTH * 0.7;
      const level = index % 2 === 0 ? 12 : 25;
      return `<line class="${style}" x1="${px(x(at))}" x2="${px(x(at))}" y1="${level - 8}" y2="${px(y(0))}"/><text class="${style}" text-anchor="${left ? 'end' : 'start'}" x="${px(x(at) + (left ? -4 : 4))}" y="${level}">${escapeXml(text)}</text>`;
    })
    .join('');
}

export function regionStyle(regions: readonly string[], region: string | undefined): string {
  return `region-${Math.max(0, regions.indexOf(region ?? ''))}`;
}

export function niceMax(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 8, 10].find((factor) => factor * magnitude >= value) ?? 10) * magnitude;
}

export function niceStep(spanMs: number): number {
  return [100, 200, 500, 1_000].find((step) => spanMs / step <= 12) ?? 1_000;
}

export function px(value: number): string {
  return value.toFixed(1);
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
