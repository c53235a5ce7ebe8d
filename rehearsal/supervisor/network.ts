// The network of the rehearsal: a link from clients and one from Route 53's checkers to every serving region, with the
// round-trip times of the real places, and between regions what the AWS process is told. A region that is cut off has
// nothing pass between it and anyone.
import { type Link, openLink } from './link.ts';
import type { LinkState } from './messages.ts';
import { nearPort } from './ports.ts';

/** Who is outside of all regions. */
export const SOURCES = ['client', 'checkers'] as const;
export type Source = (typeof SOURCES)[number];

export interface NetworkOptions {
  readonly regions: readonly string[];
  /** Of those, the ones that somebody can call. */
  readonly serving: readonly string[];
  /** Milliseconds there and back. */
  readonly roundTripMs: (from: string, to: string) => number;
  /** Where the first region's link for clients listens, the others following; 0 takes any. */
  readonly firstPort: number;
  /** The ways between regions changed. */
  readonly onRegionLinks: (links: readonly LinkState[]) => void;
}

export class Network {
  readonly #options: NetworkOptions;
  readonly #links: ReadonlyMap<string, Link>;
  readonly #cut = new Set<string>();

  private constructor(options: NetworkOptions, links: ReadonlyMap<string, Link>) {
    this.#options = options;
    this.#links = links;
  }

  static async open(options: NetworkOptions): Promise<Network> {
    const links = new Map<string, Link>();
    let port = options.firstPort;
    for (const region of options.serving)
      for (const source of SOURCES) {
        const from = source === 'client' ? port : 0;
        const name = `${source} to ${region}`;
        const delayMs = options.roundTripMs(source, region) / 2;
        const link = await nearPort(from, (free) => openLink({ name, port: free, conditions: { delayMs } }));
        if (from !== 0) port = link.port + 1;
        links.set(name, link);
      }
    return new Network(options, links);
  }

  /** Undefined for a region that serves nobody. */
  link(source: Source, region: string): Link | undefined {
    return this.#links.get(`${source} to ${region}`);
  }

  /** Leads all who call the region to where its front listens now; undefined turns them away. */
  retarget(region: string, port: number | undefined): void {
    for (const source of SOURCES) this.link(source, region)?.retarget(port);
  }

  /** From clients, checkers and other regions alike; or only from other regions. */
  setCut(region: string, cut: boolean, from: 'everyone' | 'regions'): void {
    if (cut) this.#cut.add(region);
    else this.#cut.delete(region);
    if (from === 'everyone' || !cut) for (const source of SOURCES) this.link(source, region)?.change({ cut });
    this.#options.onRegionLinks(this.regionLinks.filter(({ between }) => between.includes(region)));
  }

  get regionLinks(): readonly LinkState[] {
    const { regions, roundTripMs } = this.#options;
    return regions.flatMap((a, index) =>
      regions.slice(index + 1).map((b) => ({
        between: [a, b] as const,
        cut: this.#cut.has(a) || this.#cut.has(b),
        delayMs: roundTripMs(a, b) / 2,
      })),
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }
}
