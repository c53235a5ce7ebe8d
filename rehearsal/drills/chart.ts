// Two drawings of one variant, as inline SVG: the whole run in requests per second, and the second around the fault
// with every single request. Colours come from the page's style sheet, so that both suit a light and a dark page.
import type { OperationEntry } from './history.ts';
import type { VariantResult } from './run.ts';

const WIDTH = 960;
const LEFT = 48;
const RIGHT = 12;
const TOP = 34;
const BOTTOM = 24;
const BUCKET_MS = 1_000;

/** A mark on the time axis. */
interface Marker {
  readonly at: number;
  readonly text: string;
  readonly style: 'fault' | 'good' | 'plain';
}

interface Frame {
  readonly from: number;
  readonly to: number;
  readonly height: number;
  readonly x: (at: number) => number;
  /** @param share of the plot's height, from 0 at the bottom to 1 */
  readonly y: (share: number) => number;
}

function frameOf(from: number, to: number, height: number): Frame {
  return {
    from,
    to,
    height,
    x: (at) => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - RIGHT),
    y: (share) => height - BOTTOM - share * (height - TOP - BOTTOM),
  };
}

/** Answers per second, region upon region, failures on top; the DNS-only client as a strip below. */
export function runChart(result: VariantResult, regions: readonly string[]): string {
  const { history, startedAt, endedAt, faultAt } = result;
  const frame = frameOf(startedAt, endedAt, 230);
  const library = history.filter(({ client }) => client === 'library');
  const served = regions.map((region) => countBy(library, frame, (it) => it.ok && it.region === region));
  const failed = countBy(library, frame, ({ ok }) => !ok);
  const stack = [...served, failed];
  const total =
    served[0]?.map((_, index) => stack.reduce((sum, counts) => sum + (counts[index] ?? 0), 0)) ?? [];
  const most = niceMax(Math.max(1, ...total));
  const bars = stack.map((counts, layer) => {
    const style = layer < regions.length ? `region-${layer}` : 'failed';
    return counts.map((count, index) => {
      if (count === 0) return '';
      const below = stack.slice(0, layer).reduce((sum, it) => sum + (it[index] ?? 0), 0);
      const left = frame.x(startedAt + index * BUCKET_MS);
      const right = Math.min(frame.x(startedAt + (index + 1) * BUCKET_MS), frame.x(endedAt));
      const top = frame.y((below + count) / most);
      return `<rect class="${style}" x="${px(left)}" y="${px(top)}" width="${px(Math.max(1, right - left - 0.5))}" height="${px(frame.y(below / most) - top)}"/>`;
    });
  });
  const dns = history
    .filter(({ client }) => client === 'dns')
    .map(
      ({ endedAt: at, ok, region }) =>
        `<rect class="${ok ? regionStyle(regions, region) : 'failed'}" x="${px(frame.x(at) - 0.5)}" y="${frame.height - BOTTOM + 2}" width="1.5" height="5"/>`,
    )
    .join('');
  return svg(
    frame,
    `Requests per second by region, ${result.variant.name}`,
    [
      yAxis(frame, [0, most / 2, most], (value) => value / most, 'requests/s'),
      timeAxis(frame, faultAt, 10_000, 's'),
      ...bars.flat(),
      dns,
      markers(frame, markersOf(result)),
    ].join(''),
  );
}

/** Every request around the fault: when it was answered, after how long, by whom. */
export function faultChart(result: VariantResult, regions: readonly string[]): string {
  const { history, faultAt, measurements } = result;
  const { longestGap, redirectMs } = measurements;
  const to = faultAt + Math.min(5_000, Math.max(800, longestGap.to - faultAt + 300, (redirectMs ?? 0) + 300));
  const frame = frameOf(faultAt - 250, to, 250);
  const near = history.filter(
    ({ client, endedAt }) => client === 'library' && endedAt >= frame.from && endedAt <= frame.to,
  );
  const slowest = niceMax(Math.max(50, ...near.map(({ scheduledAt, endedAt }) => endedAt - scheduledAt)));
  const dots = near
    .map((it) => {
      const latency = it.endedAt - it.scheduledAt;
      const style = it.ok ? regionStyle(regions, it.region) : 'failed';
      const title = `${it.operation} ${it.attempts.map(({ kind, region }) => `${kind} ${region}`).join(', ')}: ${latency.toFixed(1)} ms`;
      return `<circle class="${style}" cx="${px(frame.x(it.endedAt))}" cy="${px(frame.y(latency / slowest))}" r="2.5"><title>${escapeXml(title)}</title></circle>`;
    })
    .join('');
  const gap =
    longestGap.to <= frame.to
      ? `<line class="gap" x1="${px(frame.x(longestGap.from))}" x2="${px(frame.x(longestGap.to))}" y1="${px(frame.y(0.5))}" y2="${px(frame.y(0.5))}"/><text class="note" text-anchor="middle" x="${px((frame.x(longestGap.from) + frame.x(longestGap.to)) / 2)}" y="${px(frame.y(0.5) - 5)}">no answer for ${longestGapText(result)}</text>`
      : '';
  const redirect: readonly Marker[] =
    redirectMs === null
      ? []
      : [
          {
            at: faultAt + redirectMs,
            text: `standby has the request, ${redirectMs.toFixed(1)} ms`,
            style: 'good',
          },
        ];
  return svg(
    frame,
    `Every answer around the fault, ${result.variant.name}`,
    [
      yAxis(frame, [0, slowest / 2, slowest], (value) => value / slowest, 'latency, ms'),
      timeAxis(frame, faultAt, niceStep(frame.to - frame.from), 'ms'),
      dots,
      gap,
      markers(frame, [{ at: faultAt, text: 'fault', style: 'fault' }, ...redirect]),
    ].join(''),
  );
}

function markersOf({
  faultAt,
  revivedAt,
  variant,
  history,
  region,
  measurements,
}: VariantResult): readonly Marker[] {
  const dnsBack = history
    .filter((it) => it.client === 'dns' && it.ok && it.region !== region && it.endedAt > faultAt)
    .reduce((first, { endedAt }) => Math.min(first, endedAt), Number.POSITIVE_INFINITY);
  const dns: readonly Marker[] = Number.isFinite(dnsBack)
    ? [
        {
          at: dnsBack,
          text: `DNS-only served again, ${((measurements.dnsOutageMs ?? 0) / 1_000).toFixed(1)} s`,
          style: 'good',
        },
      ]
    : [];
  return [
    { at: faultAt, text: variant.name, style: 'fault' },
    ...dns,
    { at: revivedAt, text: 'revived', style: 'plain' },
  ];
}

function longestGapText({ measurements: { longestGapMs } }: VariantResult): string {
  return longestGapMs < 1_000 ? `${longestGapMs.toFixed(0)} ms` : `${(longestGapMs / 1_000).toFixed(1)} s`;
}

function countBy(
  entries: readonly OperationEntry[],
  { from, to }: Frame,
  counts: (entry: OperationEntry) => boolean,
): readonly number[] {
  const buckets = Array.from({ length: Math.ceil((to - from) / BUCKET_MS) }, () => 0);
  for (const entry of entries) {
    const index = Math.floor((entry.endedAt - from) / BUCKET_MS);
    if (counts(entry) && buckets[index] !== undefined) buckets[index] += 1;
  }
  return buckets;
}

function svg({ height }: Frame, label: string, content: string): string {
  return `<svg role="img" aria-label="${escapeXml(label)}" viewBox="0 0 ${WIDTH} ${height}">${content}</svg>`;
}

function yAxis(
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

/** Ticks counted from the fault. */
function timeAxis({ from, to, height, x }: Frame, zero: number, everyMs: number, unit: 's' | 'ms'): string {
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
function markers({ x, y }: Frame, all: readonly Marker[]): string {
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

function niceMax(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 8, 10].find((factor) => factor * magnitude >= value) ?? 10) * magnitude;
}

function niceStep(spanMs: number): number {
  return [100, 200, 500, 1_000].find((step) => spanMs / step <= 12) ?? 1_000;
}

function px(value: number): string {
  return value.toFixed(1);
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
