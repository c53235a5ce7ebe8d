// Two drawings of one variant: the whole run in requests per second, and the second around the fault with every single
// request.
import {
  BOTTOM,
  centred,
  countPerSecond,
  escapeXml,
  frameOf,
  type Marker,
  markers,
  niceMax,
  px,
  regionStyle,
  stackedBars,
  svg,
  timeAxis,
  yAxis,
} from '../svg.ts';
import type { VariantResult } from './run.ts';

/** Answers per second, region upon region, failures on top; the DNS-only client as a strip below. */
export function runChart(result: VariantResult, regions: readonly string[]): string {
  const { history, startedAt, endedAt, faultAt, marks } = result;
  const frame = frameOf(startedAt, endedAt, 230, marks);
  const library = history.filter(({ client }) => client === 'library');
  const count = (counts: (entry: (typeof library)[number]) => boolean) =>
    countPerSecond(library, frame, (entry) => (counts(entry) ? 1 : 0));
  const { bars, most } = stackedBars(frame, [
    ...regions.map((region, index) => ({
      style: `region-${index}`,
      perSecond: count((it) => it.ok && it.region === region),
    })),
    { style: 'failed', perSecond: count(({ ok }) => !ok) },
  ]);
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
      timeAxis(frame, faultAt, 's'),
      bars,
      dns,
      markers(frame),
    ].join(''),
  );
}

/** Every request around the fault: when it was answered, after how long, by whom. */
export function faultChart(result: VariantResult, regions: readonly string[]): string {
  const { history, faultAt, measurements } = result;
  const { longestGap, redirectMs = null } = measurements;
  const to = faultAt + Math.min(5_000, Math.max(800, longestGap.to - faultAt + 300, (redirectMs ?? 0) + 300));
  const frame = frameOf(faultAt - 250, to, 250, [
    { at: faultAt, text: 'fault', style: 'fault' },
    ...redirectMark(faultAt, redirectMs),
  ]);
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
      ? `<line class="gap" x1="${px(frame.x(longestGap.from))}" x2="${px(frame.x(longestGap.to))}" y1="${px(frame.y(0.5))}" y2="${px(frame.y(0.5))}"/>${centred(frame.x(longestGap.from), frame.x(longestGap.to), frame.y(0.5) - 5, `no answer for ${longestGapText(result)}`)}`
      : '';
  return svg(
    frame,
    `Every answer around the fault, ${result.variant.name}`,
    [
      yAxis(frame, [0, slowest / 2, slowest], (value) => value / slowest, 'latency, ms'),
      timeAxis(frame, faultAt, 'ms'),
      dots,
      gap,
      markers(frame),
    ].join(''),
  );
}

function redirectMark(faultAt: number, redirectMs: number | null): readonly Marker[] {
  if (redirectMs === null) return [];
  const text = `standby has the request, ${redirectMs.toFixed(1)} ms`;
  return [{ at: faultAt + redirectMs, text, style: 'good' }];
}

function longestGapText({ measurements: { longestGapMs } }: VariantResult): string {
  return longestGapMs < 1_000 ? `${longestGapMs.toFixed(0)} ms` : `${(longestGapMs / 1_000).toFixed(1)} s`;
}
