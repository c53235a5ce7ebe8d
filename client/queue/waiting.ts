// Operations that wait to be settled: linked in the order to send them, and on each key in the order made. Lists of
// links, since hundreds of thousands may wait and each is added and removed once.
import type { Version } from '../../protocol/versions.ts';
import type { Group } from './ledger.ts';

export class Waiting {
  readonly group: Group;
  readonly index: number;
  readonly key: string;
  version: Version;
  base: Version | undefined;
  readonly replayed: boolean;
  /** Neighbours in the order to send. */
  earlier: Waiting | undefined = undefined;
  later: Waiting | undefined = undefined;
  /** Neighbours on the key. */
  before: Waiting | undefined = undefined;
  after: Waiting | undefined = undefined;

  constructor(
    group: Group,
    index: number,
    key: string,
    version: Version,
    base: Version | undefined,
    replayed: boolean,
  ) {
    this.group = group;
    this.index = index;
    this.key = key;
    this.version = version;
    this.base = base;
    this.replayed = replayed;
  }

  get session(): string {
    return this.group.session;
  }

  get sequence(): number {
    return this.group.sequence + this.index;
  }

  get bytes(): number {
    return this.group.bytes[this.index] as number;
  }
}

function inOrderMade(a: Waiting, b: Waiting): number {
  return a.group.position - b.group.position || a.index - b.index;
}

class SendingOrder {
  size = 0;
  #first: Waiting | undefined;
  #last: Waiting | undefined;

  add(waiting: Waiting): void {
    waiting.earlier = this.#last;
    waiting.later = undefined;
    if (this.#last === undefined) this.#first = waiting;
    else this.#last.later = waiting;
    this.#last = waiting;
    this.size++;
  }

  remove({ earlier, later }: Waiting): void {
    if (earlier === undefined) this.#first = later;
    else earlier.later = later;
    if (later === undefined) this.#last = earlier;
    else later.earlier = earlier;
    this.size--;
  }

  /** Empties the list. */
  takeAll(): Waiting[] {
    const all = [...this];
    this.#first = undefined;
    this.#last = undefined;
    this.size = 0;
    return all;
  }

  *[Symbol.iterator](): Iterator<Waiting> {
    for (let waiting = this.#first; waiting !== undefined; waiting = waiting.later) yield waiting;
  }
}

export class WaitingOperations {
  /** Queued again by a restore: they go first (PROTOCOL 8.2). */
  readonly #replays = new SendingOrder();
  readonly #fresh = new SendingOrder();
  /** The last one of each key. */
  readonly #lasts = new Map<string, Waiting>();

  get size(): number {
    return this.#replays.size + this.#fresh.size;
  }

  *[Symbol.iterator](): Iterator<Waiting> {
    yield* this.#replays;
    yield* this.#fresh;
  }

  /** On how many keys any wait. */
  get keyCount(): number {
    return this.#lasts.size;
  }

  /** The latest on the key. */
  lastOf(key: string): Waiting | undefined {
    return this.#lasts.get(key);
  }

  /** All of the key, in the order made. */
  chainOf(key: string): Waiting[] {
    const chain: Waiting[] = [];
    for (let waiting = this.#lasts.get(key); waiting !== undefined; waiting = waiting.before)
      chain.push(waiting);
    return chain.reverse();
  }

  /** Made after all others on its key, the last of which is `before`. */
  add(waiting: Waiting, before: Waiting | undefined): void {
    (waiting.replayed ? this.#replays : this.#fresh).add(waiting);
    this.#link(waiting, before);
  }

  /** Made before some that wait already: order and chains are laid out anew (PROTOCOL 8.2). */
  addAgain(waiting: readonly Waiting[]): void {
    const replays = [...this.#replays.takeAll(), ...waiting].sort(inOrderMade);
    for (const replay of replays) this.#replays.add(replay);
    const byKey = Map.groupBy(waiting, ({ key }) => key);
    for (const [key, again] of byKey) {
      const chain = [...this.chainOf(key), ...again].sort(inOrderMade);
      for (const [index, waiting] of chain.entries()) this.#link(waiting, chain[index - 1]);
    }
  }

  remove(waiting: Waiting): void {
    const { key, before, after } = waiting;
    (waiting.replayed ? this.#replays : this.#fresh).remove(waiting);
    if (before !== undefined) before.after = after;
    if (after !== undefined) after.before = before;
    else if (before !== undefined) this.#lasts.set(key, before);
    else this.#lasts.delete(key);
  }

  #link(waiting: Waiting, before: Waiting | undefined): void {
    waiting.before = before;
    waiting.after = undefined;
    if (before !== undefined) before.after = waiting;
    this.#lasts.set(waiting.key, waiting);
  }
}
