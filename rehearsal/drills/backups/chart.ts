// The drawing that these drills add to those of the devices: bare calls a second, by the Region that served them.
import type { Section } from '../scenario.ts';
import { regionStyle } from '../svg.ts';
import { type Drawn, servedChart, syncSection } from '../sync/chart.ts';
import type { BareCall } from './bare-load.ts';

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
        svg: servedChart(bare, 'calls/s', 'Bare calls per second by Region', drawn),
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
