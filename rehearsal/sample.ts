// Starts the sample client in a process of its own, as a real client would be, and hears what it sees.

import { preciseNow } from './measuring.ts';
import type { FromSampleClient, SampleClientOptions } from './sample-client.ts';
import type { Children } from './supervisor/children.ts';
import type { Rehearsal, RunningRegion } from './supervisor/rehearsal.ts';
import type { ClientSecond } from './supervisor/state.ts';
import type { Timeline } from './supervisor/timeline.ts';

/** Enough to see, little enough for a busy laptop. */
const REQUESTS_PER_SECOND = 20;
const TENANT = 'sample';
/** Longer than anybody leaves a rehearsal running. */
const TOKEN_TTL_S = 30 * 86_400;

export interface SampleOptions {
  readonly children: Children;
  readonly regions: readonly RunningRegion[];
  readonly token: Rehearsal['token'];
  readonly timeline: Timeline;
}

/** Resolves once it is at work. That it ends by itself is only logged: nothing depends on it. */
export async function startSampleClient(
  { children, regions, token, timeline }: SampleOptions,
  onSecond: (second: ClientSecond) => void,
): Promise<void> {
  const log = (line: string) => timeline.add({ type: 'log', at: preciseNow(), from: 'sample client', line });
  const options: SampleClientOptions = {
    endpoints: regions.flatMap(({ region, endpoint }) => (endpoint ? [{ region, url: endpoint }] : [])),
    token: await token({ tenant: TENANT, ttlS: TOKEN_TTL_S }),
    requestsPerSecond: REQUESTS_PER_SECOND,
  };
  await children.start<FromSampleClient>({
    name: 'the sample client',
    script: 'sample-client.ts',
    options,
    onMessage(message) {
      if (message.type !== 'second') return;
      const { second } = message;
      onSecond(second);
      timeline.add({ type: 'client', at: second.at, second });
    },
    onLine: log,
    onEnd: (why) => log(`it ${why}`),
  });
}
