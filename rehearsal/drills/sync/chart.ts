// Two drawings of a sync drill: what was settled each second, by the region that settled it, and what waited on the
// devices. Both are made from the history alone.
import type { VerdictName } from '../../../protocol/verdicts.ts';
import type { Section } from '../scenario.ts';
import {
  countPerSecond,
  type Frame,
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
import { type Made, nameOf, type Sent, type SyncHistory } from './history.ts';

export interface Drawn {
  readonly history: Pick<SyncHistory, 'made' | 'sent'>;
  readonly regions: readonly string[];
  /** Devices that are drawn as one line, each line with its name. */
  readonly groups: readonly { readonly text: string; readonly devices: readonly string[] }[];
  readonly marks: readonly Marker[];
  readonly startedAt: number;
  readonly endedAt: number;
}

const SETTLING: ReadonlySet<VerdictName> = new Set(['applied', 'duplicate', 'superseded', 'rejected']);
const HEIGHT = 220;

export function syncSection(heading: string, drawn: Drawn, notes: readonly string[]): Section {
  const { regions, groups } = drawn;
  return {
    heading,
    figures: [
      {
        svg: settledChart(drawn),
        caption:
          'Operations settled per second, by the region that answered; on top those that were deferred.',
        keys: [
          ...regions.map((text) => ({ style: regionStyle(regions, text), text })),
          { style: 'failed', text: 'deferred' },
        ],
      },
      {
        svg: waitingChart(drawn),
        caption: 'Operations that are durable on a device and not settled yet.',
        keys: groups.map(({ text }, index) => ({ style: `line-${index}`, text })),
      },
    ],
    notes,
  };
}

function settledChart({ history, ...drawn }: Drawn): string {
  const answers = history.sent.flatMap(({ answer, region }) =>
    answer === undefined ? [] : [{ endedAt: answer.at, region, ok: SETTLING.has(answer.verdict) }],
  );
  return servedChart(answers, 'operations/s', 'Operations settled per second by region', drawn);
}

/** What went well a second, by the region that did it, and on top what did not. */
export function servedChart(
  calls: readonly { readonly endedAt: number; readonly region: string; readonly ok: boolean }[],
  unit: string,
  title: string,
  { regions, startedAt, endedAt, marks }: Omit<Drawn, 'history'>,
): string {
  const frame = frameOf(startedAt, endedAt, HEIGHT, marks);
  const { bars, most } = stackedBars(frame, [
    ...regions.map((region) => ({
      style: regionStyle(regions, region),
      perSecond: countPerSecond(calls, frame, (it) => (it.ok && it.region === region ? 1 : 0)),
    })),
    { style: 'failed', perSecond: countPerSecond(calls, frame, ({ ok }) => (ok ? 0 : 1)) },
  ]);
  return svg(
    frame,
    title,
    [
      yAxis(frame, [0, most / 2, most], (value) => value / most, unit),
      timeAxis(frame, startedAt, 's'),
      bars,
      markers(frame),
    ].join(''),
  );
}

function waitingChart({ history, groups, startedAt, endedAt, marks }: Drawn): string {
  const frame = frameOf(startedAt, endedAt, HEIGHT, marks);
  const settledAt = settledAtOf(history.sent);
  const lines = groups.map(({ devices }) =>
    waitingOver(
      frame,
      history.made.filter(({ by }) => devices.includes(by)),
      settledAt,
    ),
  );
  const most = niceMax(Math.max(1, ...lines.flat()));
  const drawn = lines.map((values, index) => {
    const points = values.map(
      (value, second) =>
        `${px(frame.x(Math.min(frame.to, frame.from + second * 1_000)))},${px(frame.y(value / most))}`,
    );
    return `<polyline class="line-${index}" points="${points.join(' ')}"/>`;
  });
  return svg(
    frame,
    'Operations waiting on devices',
    [
      yAxis(frame, [0, most / 2, most], (value) => value / most, 'operations'),
      timeAxis(frame, startedAt, 's'),
      ...drawn,
      markers(frame),
    ].join(''),
  );
}

/** By the name of the edit: when its device heard that it is settled. */
export function settledAtOf(sent: readonly Sent[]): ReadonlyMap<string, number> {
  const settled = new Map<string, number>();
  for (const operation of sent) {
    const { answer } = operation;
    if (answer === undefined || !SETTLING.has(answer.verdict)) continue;
    const name = nameOf(operation);
    settled.set(name, Math.min(answer.at, settled.get(name) ?? Number.POSITIVE_INFINITY));
  }
  return settled;
}

/** How many waited at each full second of the frame. */
function waitingOver(
  { from, to }: Frame,
  made: readonly Made[],
  settledAt: ReadonlyMap<string, number>,
): readonly number[] {
  const seconds = Math.ceil((to - from) / 1_000) + 1;
  const changes = Array.from({ length: seconds + 1 }, () => 0);
  const at = (time: number) => Math.min(seconds, Math.max(0, Math.ceil((time - from) / 1_000)));
  for (const edit of made) {
    if (edit.acknowledgedAt === undefined) continue;
    const madeAt = at(edit.acknowledgedAt);
    changes[madeAt] = (changes[madeAt] ?? 0) + 1;
    const settled = settledAt.get(nameOf(edit));
    if (settled === undefined) continue;
    const overAt = Math.max(madeAt, at(settled));
    changes[overAt] = (changes[overAt] ?? 0) - 1;
  }
  let waiting = 0;
  return changes.slice(0, seconds).map((change) => {
    waiting += change;
    return waiting;
  });
}
