// An eye on what the system decides while a drill runs: about once a second, who is active, where DNS leads, what each
// region's `/health` says to clients, who pages.
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEALTH_CHECK } from '../../../config/promises.ts';
import { VOTE_AGE_MS_MAX } from '../../../protocol/limits.ts';
import { HEADERS, PATHS } from '../../../protocol/messages.ts';
import { preciseNow } from '../../measuring.ts';
import { getPlainly } from '../plain-http.ts';
import type { DrilledSystem } from '../system.ts';
import type { Health, Look } from './seen.ts';

const EVERY_MS = 1_000;

export class Watch {
  readonly looks: Look[] = [];
  readonly #system: DrilledSystem;
  readonly #agent = new Agent({ keepAlive: false });
  readonly #stopping = new AbortController();
  /** The latest answer of each region: one that hangs holds up nothing but itself. */
  readonly #health = new Map<string, Health>();
  readonly #watching: Promise<unknown>;

  constructor(system: DrilledSystem) {
    this.#system = system;
    this.#watching = Promise.all([
      this.#every(async (at) => void this.looks.push(await this.#look(at))),
      ...system.regions.map(({ region, endpoint }) =>
        this.#every(async () => void this.#health.set(region, await this.#ask(endpoint))),
      ),
    ]);
  }

  get latest(): Look | undefined {
    return this.looks.at(-1);
  }

  /** Resolves when nothing of it is under way any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
    this.#agent.destroy();
  }

  async #every(look: (at: number) => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const at = preciseNow();
      await look(at);
      const restMs = at + EVERY_MS - preciseNow();
      if (restMs > 0) await sleep(restMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(at: number): Promise<Look> {
    const { dns } = this.#system;
    const [state, leadsTo] = await Promise.all([
      this.#system.routing().catch(() => undefined),
      dns && this.#leadsTo(dns).catch(() => undefined),
    ]);
    return {
      at,
      ...(state === undefined ? {} : { active: state.activeRegion }),
      ...(leadsTo === undefined ? {} : { leadsTo }),
      health: Object.fromEntries(this.#health),
      paging: this.#system.paging(),
      ...this.#reported(at),
    };
  }

  /** As observers count them: what is older than a vote may be says nothing about now. */
  #reported(at: number): Pick<Look, 'reported'> {
    const fresh = this.#system.reports()?.filter((report) => at - report.at <= VOTE_AGE_MS_MAX);
    if (fresh === undefined) return {};
    const of = (all: typeof fresh) => all.map(({ observer }) => observer);
    return {
      reported: {
        voting: of(fresh.filter(({ vote, abstains }) => vote !== undefined && abstains === undefined)),
        abstaining: of(fresh.filter(({ abstains }) => abstains !== undefined)),
      },
    };
  }

  async #leadsTo({ name, resolver }: NonNullable<DrilledSystem['dns']>): Promise<string | undefined> {
    const url = `${resolver}/resolve?name=${encodeURIComponent(name)}&type=A`;
    const { body } = await getPlainly(url, { agent: this.#agent, timeoutMs: HEALTH_CHECK.timeoutMs });
    return (JSON.parse(body) as { region?: string }).region;
  }

  async #ask(endpoint: string): Promise<Health> {
    try {
      const { status, headers } = await getPlainly(endpoint + PATHS.health, {
        agent: this.#agent,
        timeoutMs: HEALTH_CHECK.timeoutMs,
      });
      if (status === 200) return 'ok';
      return headers[HEADERS.evacuated] === 'true' ? 'evacuated' : 'failing';
    } catch {
      return 'failing';
    }
  }
}
