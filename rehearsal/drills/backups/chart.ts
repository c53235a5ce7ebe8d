// The drawing that these drills add to those of the devices: bare calls a second, by the Region that served them.
import type { Section } from '../scenario.ts';
import { countPerSecond, frameOf, markers, regionStyle, stackedBars, svg, timeAxis, yAxis } from '../svg.ts';
import { type Drawn, syncSection } from '../sync/chart.ts';
import type { BareCall } from './bare-load.ts';

const HEIGHT = 200;

export function backupSection(
  heading: string,
  drawn: Drawn,
  bare: readonly BareCall[],
  notes: readonly string[],
): Section {
  const { regions } = drawn;
  const sync = syncSection(heading, drawn, notes);
  return {
    ...sync,
    figures: [
      {
        svg: bareChart(bare, drawn),
        caption: 'Bare calls a second, by the Region that was asked; on top those that were not served.',
        keys: [
          ...regions.map((text) => ({ style: regionStyle(regions, text), text })),
          { style: 'failed', text: 'not served' },
        ],
      },
      ...sync.figures,
    ],
  };
}

function bareChart(bare: readonly BareCall[], { regions, startedAt, endedAt, marks }: Drawn): string {
  const frame = frameOf(startedAt, endedAt, HEIGHT, marks);
  const { bars, most } = stackedBars(frame, [
    ...regions.map((region) => ({
      style: regionStyle(regions, region),
      perSecond: countPerSecond(bare, frame, (it) => (it.ok && it.region === region ? 1 : 0)),
    })),
    { style: 'failed', perSecond: countPerSecond(bare, frame, ({ ok }) => (ok ? 0 : 1)) },
  ]);
  return svg(
    frame,
    'Bare calls per second by Region',
    [
      yAxis(frame, [0, most / 2, most], (value) => value / most, 'calls/s'),
      timeAxis(frame, startedAt, 's'),
      bars,
      markers(frame),
    ].join(''),
  );
}
