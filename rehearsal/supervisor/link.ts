// A way between two places, in user space: a TCP proxy whose port stays while what is behind it may die and come
// back elsewhere. It delays, limits, loses and cuts as a long line would; order is kept and backpressure respected.
//
// Where it differs from a real line: the client's own `connect` succeeds at once, since the kernel answers for the
// listening port. The round trip of the handshake is added before its first bytes travel instead, so whoever waits
// for an answer waits as long as in reality; only a pure connection time-out cannot be seen. A refused connection is
// therefore a reset one, a round trip after connecting. What is sent during a cut is held and arrives when it heals,
// as TCP's retransmissions would have it, but without their backoff.
import { createConnection, createServer, type Server, type Socket } from 'node:net';

export interface LinkConditions {
  /** One way, half of the round trip, in milliseconds. */
  readonly delayMs: number;
  /** Nothing passes, not even the end of a connection. */
  readonly cut: boolean;
  /** Per direction, shared by all connections; 0 is unlimited. */
  readonly bytesPerSecond: number;
  /** Chance that a chunk is lost on the way and sent again {@link RETRANSMIT_MS} later (doubling when lost again),
   * with everything behind it on its connection waiting: what packet loss looks like through TCP. From 0 to below 1. */
  readonly lossRate: number;
}

export interface LinkOptions {
  /** Who uses it and where it leads, for messages only. */
  readonly name: string;
  /** @default 0, any free port */
  readonly port?: number;
  /** Where the server behind it listens on 127.0.0.1; undefined when there is none now. */
  readonly targetPort?: number;
  /** @default no delay, not cut, unlimited, nothing lost */
  readonly conditions?: Partial<LinkConditions>;
  /** From 0 to below 1. @default Math.random */
  readonly random?: () => number;
}

export interface Link {
  readonly name: string;
  readonly port: number;
  readonly conditions: LinkConditions;
  /** Open connections. */
  readonly connections: number;
  /** Holds for what is sent from now on; a healed cut lets go of what it held. */
  change(conditions: Partial<LinkConditions>): void;
  /** New connections go there; undefined refuses them. Open ones stay with the server they have. */
  retarget(targetPort: number | undefined): void;
  /** Drops all connections and frees the port. */
  close(): Promise<void>;
}

/** Linux never retransmits sooner (TCP_RTO_MIN). */
export const RETRANSMIT_MS = 200;
/** What may be under way on one connection in one direction before its sender has to wait. */
const WINDOW_BYTES = 1024 * 1024;

/** Opens a link; rejects when `port` is taken. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { name, port = 0, random = Math.random } = options;
  const line = new Line(options.conditions ?? {}, random);
  let targetPort = options.targetPort;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) =>
    line.accept(client, () => targetPort),
  );
  await listen(server, port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`link ${name} has no port`);
  return {
    name,
    port: address.port,
    get conditions() {
      return line.conditions;
    },
    get connections() {
      return line.connections;
    },
    change: (conditions) => line.change(conditions),
    retarget(to) {
      targetPort = to;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      line.destroy();
      await closed;
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** What all connections of a link share: its conditions, its bandwidth, and the list of what to drop at the end. */
class Line {
  conditions: LinkConditions;
  readonly #random: () => number;
  readonly #sockets = new Set<Socket>();
  readonly #pipes = new Set<Pipe>();
  /** When each direction has sent all it was given, at its bandwidth; `performance.now()` milliseconds. */
  readonly #freeAt = { up: 0, down: 0 };

  constructor(conditions: Partial<LinkConditions>, random: () => number) {
    this.conditions = checked({ delayMs: 0, cut: false, bytesPerSecond: 0, lossRate: 0, ...conditions });
    this.#random = random;
  }

  /** One per client; its other half, towards the server, is not counted. */
  connections = 0;

  change(conditions: Partial<LinkConditions>): void {
    const healed = this.conditions.cut && conditions.cut === false;
    this.conditions = checked({ ...this.conditions, ...conditions });
    if (healed) for (const pipe of this.#pipes) pipe.letGo();
  }

  /** Takes a client's connection; the server hears of it half a round trip later, or when a cut heals. */
  accept(client: Socket, targetPort: () => number | undefined): void {
    this.connections += 1;
    client.once('close', () => {
      this.connections -= 1;
    });
    this.#own(client);
    const up = new Pipe(this, 'up', performance.now() + 2 * this.conditions.delayMs);
    const down = new Pipe(this, 'down', 0);
    for (const pipe of [up, down]) this.#pipes.add(pipe);
    let server: Socket | undefined;
    const forgetWhenOver = () => {
      if (!client.destroyed || server?.destroyed === false) return;
      for (const pipe of [up, down]) {
        pipe.stop();
        this.#pipes.delete(pipe);
      }
    };
    client.once('close', forgetWhenOver);
    down.leadTo(client);
    up.beginWith(() => {
      const port = targetPort();
      if (client.destroyed) return;
      if (port === undefined) {
        down.give({ what: 'reset' });
        return;
      }
      server = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      this.#own(server);
      server.once('close', forgetWhenOver);
      up.leadTo(server);
      down.comeFrom(server);
    });
    up.comeFrom(client);
  }

  /** When something handed over now, or not before a given time, arrives. */
  arrivalOf(bytes: number, direction: 'up' | 'down', notBefore: number): number {
    const { delayMs, bytesPerSecond, lossRate } = this.conditions;
    let at = Math.max(performance.now(), notBefore);
    if (bytesPerSecond > 0) {
      at = Math.max(at, this.#freeAt[direction]) + (bytes / bytesPerSecond) * 1_000;
      this.#freeAt[direction] = at;
    }
    if (bytes > 0) for (let again = RETRANSMIT_MS; this.#random() < lossRate; again *= 2) at += again;
    return at + delayMs;
  }

  destroy(): void {
    for (const pipe of this.#pipes) pipe.stop();
    for (const socket of this.#sockets) socket.destroy();
    this.#pipes.clear();
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    // Errors are handled by the pipe that reads the socket; one that nobody reads yet must not end the process.
    socket.on('error', () => undefined);
  }
}

type Item =
  | { readonly what: 'data'; readonly chunk: Buffer }
  | { readonly what: 'end' }
  | { readonly what: 'reset' }
  | { readonly what: 'act'; readonly act: () => void };

/** One direction of one connection: what is under way, in order, with one timer for whatever arrives next. */
class Pipe {
  readonly #line: Line;
  readonly #direction: 'up' | 'down';
  /** Nothing sent travels before the handshake is over. */
  readonly #readyAt: number;
  readonly #underWay: { at: number; readonly item: Item }[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #source: Socket | undefined;
  #destination: Socket | undefined;
  #waitsForDrain = false;
  #stopped = false;

  constructor(line: Line, direction: 'up' | 'down', readyAt: number) {
    this.#line = line;
    this.#direction = direction;
    this.#readyAt = readyAt;
  }

  /** Something that happens at the far end after half a round trip, before all data: the connection's arrival. */
  beginWith(act: () => void): void {
    this.#enqueue(performance.now() + this.#line.conditions.delayMs, { what: 'act', act });
  }

  leadTo(destination: Socket): void {
    this.#destination = destination;
  }

  comeFrom(source: Socket): void {
    this.#source = source;
    source.on('data', (chunk) => {
      this.give({ what: 'data', chunk });
      if (this.#bytes > WINDOW_BYTES) source.pause();
    });
    source.once('end', () => this.give({ what: 'end' }));
    source.once('error', () => this.give({ what: 'reset' }));
  }

  give(item: Item): void {
    const bytes = item.what === 'data' ? item.chunk.length : 0;
    this.#bytes += bytes;
    this.#enqueue(this.#line.arrivalOf(bytes, this.#direction, this.#readyAt), item);
  }

  /** A cut has healed: what it held travels now. */
  letGo(): void {
    const soonest = performance.now() + this.#line.conditions.delayMs;
    for (const entry of this.#underWay) entry.at = Math.max(entry.at, soonest);
    this.#pump();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#underWay.length = 0;
  }

  #enqueue(at: number, item: Item): void {
    if (this.#stopped) return;
    // In order: nothing overtakes what was sent before it on the same connection.
    this.#underWay.push({ at: Math.max(at, this.#underWay.at(-1)?.at ?? 0), item });
    if (this.#timer === undefined) this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#line.conditions.cut || this.#waitsForDrain) return;
    for (let next = this.#underWay[0]; next !== undefined; next = this.#underWay[0]) {
      const waitMs = next.at - performance.now();
      if (waitMs > EARLY_MS_MAX) {
        this.#timer = setTimeout(() => this.#pump(), waitMs);
        return;
      }
      this.#underWay.shift();
      this.#deliver(next.item);
      if (this.#waitsForDrain) return;
    }
  }

  #deliver(item: Item): void {
    const destination = this.#destination;
    if (item.what === 'act') item.act();
    else if (item.what === 'reset') {
      destination?.resetAndDestroy();
      this.#source?.destroy();
      this.stop();
    } else if (item.what === 'end') destination?.end();
    else {
      this.#bytes -= item.chunk.length;
      if (this.#source?.isPaused() && this.#bytes <= WINDOW_BYTES) this.#source.resume();
      // Whoever writes to a closed connection is told so.
      if (destination === undefined || destination.destroyed) {
        this.#source?.resetAndDestroy();
        return;
      }
      if (destination.write(item.chunk)) return;
      this.#waitsForDrain = true;
      destination.once('drain', () => {
        this.#waitsForDrain = false;
        this.#pump();
      });
    }
  }
}

/** Timers count whole milliseconds: one that rings half of one early has rung. */
const EARLY_MS_MAX = 0.5;

function checked(conditions: LinkConditions): LinkConditions {
  const { delayMs, bytesPerSecond, lossRate } = conditions;
  // Written so that NaN fails too.
  if (!(delayMs >= 0)) throw new RangeError(`delayMs is 0 or more, got ${delayMs}`);
  if (!(bytesPerSecond >= 0))
    throw new RangeError(`bytesPerSecond is 0 (unlimited) or more, got ${bytesPerSecond}`);
  if (!(lossRate >= 0 && lossRate < 1))
    throw new RangeError(`lossRate is from 0 to below 1, got ${lossRate}`);
  return conditions;
}
