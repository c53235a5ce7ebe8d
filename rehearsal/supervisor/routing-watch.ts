// Who is active, as the table itself says: read every second through a region that is well, as an operator would read
// it, so that the console and whoever asks for the state see what the functions see. What is new becomes an event.
import { observerKey, ROUTING_KEY, type StoredItem } from '../../protocol/items.ts';
import type { RoutingChange, Vote } from '../../protocol/routing.ts';
import { reportOf, routingStateOf } from '../../protocol/routing-items.ts';
import { signedCall } from '../aws/signed-call.ts';
import type { Aws } from './plant.ts';
import type { RegionState, RoutingView } from './state.ts';
import type { Timeline } from './timeline.ts';

/** From one look to the next; a slow answer makes it longer. */
const LOOK_EVERY_MS = 1_000;
const ANSWER_MS_MAX = 2_000;
/** Regions whose copy of the table follows the others'. */
const WELL: ReadonlySet<RegionState['condition']> = new Set(['running', 'gray', 'hollow']);

export interface RoutingWatchOptions {
  readonly primary: string;
  /** Every region; each has an observer. */
  readonly regions: () => readonly Pick<RegionState, 'region' | 'role' | 'condition'>[];
  /** The items that there are under these keys, as one region has them. */
  readonly read: (region: string, keys: readonly object[]) => Promise<readonly StoredItem[]>;
  readonly timeline: Pick<Timeline, 'add'>;
  /** Unix ms. */
  readonly now: () => number;
}

export class RoutingWatch {
  readonly #options: RoutingWatchOptions;
  #view: RoutingView | undefined;
  #failed = '';
  #looking = false;

  constructor(options: RoutingWatchOptions) {
    this.#options = options;
  }

  /** Undefined until it was read once. */
  get view(): RoutingView | undefined {
    return this.#view;
  }

  /** Looks from now on, until the returned function is called. */
  start(): () => void {
    void this.look();
    const timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }

  /** One look, unless one is under way or no region can be asked. Never rejects: what failed becomes a log line. */
  async look(): Promise<void> {
    const { regions, read, timeline, primary, now } = this.#options;
    const all = regions();
    const well = all.filter(({ condition }) => WELL.has(condition));
    const where = (well.find(({ role }) => role !== 'primary') ?? well[0])?.region;
    if (where === undefined || this.#looking) return;
    this.#looking = true;
    try {
      const keys = [ROUTING_KEY, ...all.map(({ region }) => observerKey(region))];
      const next = viewOf(await read(where, keys), { primary, readIn: where, readAt: now() });
      // Another region's copy may be behind the one read before; epochs never run backwards.
      if (next.epoch < (this.#view?.epoch ?? 0)) return;
      for (const event of newsBetween(this.#view, next)) timeline.add(event);
      this.#view = next;
      this.#failed = '';
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const line = `who is active could not be read in ${where}: ${why}`;
      if (line !== this.#failed) timeline.add({ type: 'log', at: now(), from: 'supervisor', line });
      this.#failed = line;
    } finally {
      this.#looking = false;
    }
  }
}

/** How a running rehearsal's table is read: an eventually consistent batch, one request. */
export function readTable(aws: Aws, tableName: string): RoutingWatchOptions['read'] {
  return async (region, keys) => {
    const { Responses: responses } = await signedCall(
      { endpoint: aws.endpoint, credentials: aws, region, service: 'dynamodb', timeoutMs: ANSWER_MS_MAX },
      'DynamoDB_20120810.BatchGetItem',
      { RequestItems: { [tableName]: { Keys: keys.map(asKey) } } },
    );
    return (responses as Record<string, readonly StoredItem[]>)[tableName] ?? [];
  };
}

function asKey(key: object): StoredItem {
  return Object.fromEntries(Object.entries(key).map(([name, value]) => [name, { S: String(value) }]));
}

/**
 * What the items say together.
 * @throws DamagedItemError
 */
export function viewOf(
  items: readonly StoredItem[],
  { primary, ...read }: { readonly primary: string } & Pick<RoutingView, 'readIn' | 'readAt'>,
): RoutingView {
  const routing = items.find(({ pk }) => pk?.S === ROUTING_KEY.pk);
  const { activeRegion, epoch, since, reason, draining, changes } = routing
    ? routingStateOf(routing)
    : { activeRegion: primary, epoch: 0, since: 0, reason: '', draining: undefined, changes: [] };
  const reports = items.filter((item) => item !== routing).map(reportOf);
  return {
    activeRegion,
    epoch,
    since,
    reason,
    ...(draining ? { draining } : {}),
    changes,
    reports: reports.sort((a, b) => (a.observer < b.observer ? -1 : 1)),
    ...read,
  };
}

type News =
  | { readonly type: 'routingChange'; readonly at: number; readonly change: RoutingChange }
  | { readonly type: 'vote'; readonly at: number; readonly vote: Vote };

/** Changes that were not there before, the oldest first, after votes that were not. */
export function newsBetween(previous: RoutingView | undefined, next: RoutingView): readonly News[] {
  const before = previous?.reports.flatMap(({ vote }) => vote ?? []) ?? [];
  const isNew = (vote: Vote) =>
    !before.some(
      ({ observer, against, epoch }) =>
        observer === vote.observer && against === vote.against && epoch === vote.epoch,
    );
  const votes = next.reports.flatMap(({ vote }) => vote ?? []).filter(isNew);
  const changes = next.changes.filter(({ epoch }) => epoch > (previous?.epoch ?? 0)).reverse();
  return [
    ...votes.map((vote) => ({ type: 'vote', at: vote.at, vote }) as const),
    ...changes.map((change) => ({ type: 'routingChange', at: change.at, change }) as const),
  ];
}
