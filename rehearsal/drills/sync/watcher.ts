// Somebody who only looks: reads records through the API of each region, steadily, and notes what each read was answered
// and when it began and ended. That is what linearizability is judged by.
import { Agent } from 'node:http';
import { PATHS } from '../../../protocol/messages.ts';
import { isVersion } from '../../../protocol/versions.ts';
import { preciseNow } from '../../measuring.ts';
import { atPace } from '../pace.ts';
import { getPlainly } from '../plain-http.ts';
import type { Read } from './history.ts';

export interface WatcherOptions {
  readonly regions: readonly { readonly region: string; readonly endpoint: string }[];
  readonly token: string;
  /** In each region. */
  readonly readsPerSecond: number;
  /** `<collection>/<id>` of what to read next. */
  readonly key: () => string;
}

const TIMEOUT_MS = 5_000;

export class Watcher {
  readonly reads: Read[] = [];
  readonly #options: WatcherOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #stops: (() => void)[];
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#stops = options.regions.map(({ region, endpoint }) =>
      atPace(options.readsPerSecond, () => {
        const read = this.#read(region, endpoint, options.key());
        this.#underWay.add(read);
        read.finally(() => this.#underWay.delete(read));
      }),
    );
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
    await Promise.all(this.#underWay);
    this.#agent.destroy();
  }

  /** Only an answer that says something about the record is noted. */
  async #read(region: string, endpoint: string, key: string): Promise<void> {
    const [collection = '', id = ''] = key.split('/');
    const path = PATHS.record.replace('{collection}', collection).replace('{id}', id);
    const from = preciseNow();
    try {
      const { status, headers } = await getPlainly(endpoint + path, {
        agent: this.#agent,
        timeoutMs: TIMEOUT_MS,
        headers: { authorization: `Bearer ${this.#options.token}` },
      });
      const to = preciseNow();
      const version = headers.etag?.replaceAll('"', '');
      if (status === 404) this.reads.push({ key, region, from, to });
      else if (status === 200 && isVersion(version)) this.reads.push({ key, region, from, to, version });
    } catch {
      // A region that cannot answer says nothing about the record.
    }
  }
}
