// The network of the rehearsal: links to every serving region from clients, from Route 53's checkers and from every
// region (whose observers probe over them), with the round-trip times of the real places; and between regions, and from
// outside to each, what the AWS process is told. A region that is cut off has nothing pass between it and anyone; what
// it sends to itself never leaves it, so nothing cuts that. One way between two regions may be cut alone, too.
import { OUTSIDE } from '../aws/credentials.ts';
import { type Link, openLink } from './link.ts';
import type { LinkState } from './messages.ts';
import { nearPort } from './ports.ts';

/** Who is outside of all regions. */
export const SOURCES = [OUTSIDE, 'checkers'] as const;
export type Source = (typeof SOURCES)[number];

/** What a region is cut off from. */
export type CutFrom = 'everyone' | 'regions';

/** What does not pass from one region to another: `everything`, both ways and the data too, or only what the functions
 * of the first ask of what the second serves. */
export type WayCut = 'everything' | 'questions';

export interface NetworkOptions {
  readonly regions: readonly string[];
  /** Of those, the ones that somebody can call. */
  readonly serving: readonly string[];
  /** Milliseconds there and back. */
  readonly roundTripMs: (from: string, to: string) => number;
  /** Where the first region's link for clients listens, the others following; 0 takes any. */
  readonly firstPort: number;
  /** The ways between regions, or from outside to one, changed. */
  readonly onRegionLinks: (links: readonly LinkState[]) => void;
}

const nameOf = (from: string, to: string) => `${from} to ${to}`;

export class Network {
  readonly #options: NetworkOptions;
  readonly #links: ReadonlyMap<string, Link>;
  readonly #cut = new Map<string, CutFrom>();
  /** By {@link nameOf}. */
  readonly #cutWays = new Map<string, WayCut>();

  private constructor(options: NetworkOptions, links: ReadonlyMap<string, Link>) {
    this.#options = options;
    this.#links = links;
  }

  static async open(options: NetworkOptions): Promise<Network> {
    const links = new Map<string, Link>();
    let port = options.firstPort;
    for (const region of options.serving)
      for (const from of [...SOURCES, ...options.regions]) {
        const wanted = from === OUTSIDE ? port : 0;
        const name = nameOf(from, region);
        const delayMs = options.roundTripMs(from, region) / 2;
        const link = await nearPort(wanted, (free) =>
          openLink({ name, port: free, conditions: { delayMs } }),
        );
        if (wanted !== 0) port = link.port + 1;
        links.set(name, link);
      }
    return new Network(options, links);
  }

  /** From outside, or from a region, to a region; undefined for one that serves nobody. */
  link(from: string, region: string): Link | undefined {
    return this.#links.get(nameOf(from, region));
  }

  /** Where whoever is in `from` reaches each serving region, by region. */
  endpointsFrom(from: string): Readonly<Record<string, string>> {
    return Object.fromEntries(
      this.#options.serving.map((region) => [region, `http://127.0.0.1:${this.link(from, region)?.port}`]),
    );
  }

  /** Leads all who call the region to where its front listens now; undefined turns them away. */
  retarget(region: string, port: number | undefined): void {
    for (const from of [...SOURCES, ...this.#options.regions]) this.link(from, region)?.retarget(port);
  }

  /** Cuts the region off; undefined ends that. Ways to another region that is cut off stay cut. */
  setCut(region: string, from: CutFrom | undefined): void {
    if (from === undefined) this.#cut.delete(region);
    else this.#cut.set(region, from);
    this.#changed((a, b) => a === region || b === region);
  }

  /** Cuts the way between two regions and no other; undefined heals it, unless one of them is cut off. */
  setWay(from: string, to: string, cut: WayCut | undefined): void {
    if (cut === undefined) this.#cutWays.delete(nameOf(from, to));
    else this.#cutWays.set(nameOf(from, to), cut);
    this.#changed((a, b) => (a === from && b === to) || (a === to && b === from));
  }

  #changed(concerns: (from: string, to: string) => boolean): void {
    for (const a of [...SOURCES, ...this.#options.regions])
      for (const b of this.#options.serving)
        if (concerns(a, b))
          this.link(a, b)?.change({
            cut: this.#isCut(a, b) || this.#cutWays.get(nameOf(a, b)) === 'questions',
          });
    this.#options.onRegionLinks(this.regionLinks.filter(({ between: [a, b] }) => concerns(a, b)));
  }

  /** Between any two regions, and from outside to each. */
  get regionLinks(): readonly LinkState[] {
    const { regions, roundTripMs } = this.#options;
    return [OUTSIDE, ...regions].flatMap((a, index) =>
      regions.slice(index).map((b) => ({
        between: [a, b] as const,
        cut: this.#isCut(a, b),
        delayMs: roundTripMs(a, b) / 2,
      })),
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }

  #isCut(from: string, to: string): boolean {
    if (from === to) return false;
    if (!this.#options.regions.includes(from)) return this.#cut.get(to) === 'everyone';
    const isWayCut = (a: string, b: string) => this.#cutWays.get(nameOf(a, b)) === 'everything';
    return this.#cut.has(from) || this.#cut.has(to) || isWayCut(from, to) || isWayCut(to, from);
  }
}
