// What every test of the request layer starts from: two local regions and a client over them.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { RequestEvent } from '../../client/events.ts';
import { Session } from '../../client/identity.ts';
import type { RequestsOptions } from '../../client/options.ts';
import { Requests } from '../../client/requests.ts';
import { type Behaviour, type LocalRegion, localRegion } from './regions.ts';

export const GET = { method: 'GET', path: '/v1/records/notes/n1' } as const;
export const session = new Session();
export const put = () =>
  ({ method: 'PUT', path: '/v1/records/notes/n1', body: '{"a":1}', identity: session.next() }) as const;
export const unkeyed = { method: 'PUT', path: '/v1/records/notes/n1', body: '{}' } as const;

export async function setUp(
  t: TestContext,
  behaviours: readonly Behaviour[],
  options: Partial<RequestsOptions> = {},
) {
  const regions = await Promise.all(behaviours.map((behaviour) => localRegion(behaviour)));
  const events: RequestEvent[] = [];
  const requests = new Requests({
    endpoints: regions.map(({ url }) => url),
    onEvent: (event) => events.push(event),
    ...options,
  });
  t.after(async () => {
    await requests.close();
    await Promise.all(regions.map((region) => region.kill()));
  });
  const [primary, standby] = regions as [LocalRegion, LocalRegion];
  return { requests, primary, standby, events };
}

export const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail('it should have been refused'),
    (error: unknown) => error,
  );

export async function localRegionOf(t: TestContext, behaviour: Behaviour): Promise<LocalRegion> {
  const region = await localRegion(behaviour);
  t.after(() => region.kill());
  return region;
}

export async function until(condition: () => boolean, timeoutMs = 2_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
