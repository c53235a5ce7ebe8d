// After the storm: is every acknowledged write there, in every region? Asked plainly, of each region by itself.
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Version } from '../../../protocol/versions.ts';
import { getPlainly } from '../plain-http.ts';
import { pathOf } from './library-load.ts';
import type { MissingWrite } from './load-messages.ts';

const AT_ONCE = 24;
const TRIES = 6;
const TIMEOUT_MS = 5_000;

export async function readBack(
  acknowledged: ReadonlyMap<string, Version>,
  endpoints: readonly { readonly region: string; readonly url: string }[],
  token: string,
): Promise<{ readonly missing: readonly MissingWrite[]; readonly reads: number }> {
  const missing: MissingWrite[] = [];
  let reads = 0;
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  // Regions side by side, and a few reads at once in each: none waits for another's round trip.
  await Promise.all(
    endpoints.map(async ({ region, url }) => {
      const waiting = acknowledged.entries();
      const reader = async () => {
        for (const [key, version] of waiting) {
          reads += 1;
          const found = await look(url, key, version, { agent, token });
          if (found !== undefined) missing.push({ key, region, found });
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, reader));
    }),
  );
  agent.destroy();
  return { missing, reads };
}

/** Undefined when the write is there, with its version or a later one; else what is there in its place. */
async function look(
  url: string,
  key: string,
  version: Version,
  { agent, token }: { agent: Agent; token: string },
): Promise<string | undefined> {
  let last = '';
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    if (attempt > 0) await sleep(200 * 2 ** attempt);
    try {
      const id = key.slice(key.indexOf('/') + 1);
      const { status, headers } = await getPlainly(url + pathOf(id), {
        agent,
        timeoutMs: TIMEOUT_MS,
        headers: { authorization: `Bearer ${token}` },
      });
      const stored = headers.etag?.replaceAll('"', '');
      if (status === 200) return stored !== undefined && stored >= version ? undefined : `version ${stored}`;
      // The one answer that says it is not there; any other says nothing.
      if (status === 404) return 'nothing';
      last = `status ${status}`;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
  }
  return `no answer: ${last}`;
}
