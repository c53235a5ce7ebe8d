// Connections to one endpoint, kept alive, with a few opened ahead of need: a redirected request then travels at once
// instead of waiting for a handshake (one round trip, two more for TLS) to a region that was idle until now.
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';

export interface ConnectionsOptions {
  readonly url: string;
  /** Open at once; what is more waits its turn. */
  readonly connectionsMax: number;
  /** Opened ahead of need, at most. */
  readonly spareConnections: number;
  /** Certificates, for mutual TLS or a private authority. */
  readonly tls?: tls.SecureContextOptions;
}

export interface AttemptRequest {
  readonly method: string;
  /** Begins with `/`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface AttemptAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What one attempt reports; of `answered` and `failed` exactly one, once, unless it was ended before. */
export interface AttemptListener {
  /** Something came: headers or a piece of the body. */
  heard(): void;
  answered(answer: AttemptAnswer): void;
  failed(error: Error): void;
}

/** More than API Gateway can answer with (10 MB). */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

export class Connections {
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;
  readonly #base: { readonly host: string; readonly port: number | undefined; readonly agent: http.Agent };
  readonly #pathPrefix: string;
  readonly #spares: Spares;

  constructor({ url, connectionsMax, spareConnections, tls: context = {} }: ConnectionsOptions) {
    const { protocol, hostname, port, pathname } = new URL(url);
    const secure = protocol === 'https:';
    // A literal IPv6 address is bracketed in a URL and bare on a socket.
    const host = hostname.replace(/^\[|\]$/g, '');
    this.#spares = new Spares(spareConnections, () => {
      const to = { host, port: port ? Number(port) : secure ? 443 : 80, noDelay: true };
      // SNI carries names only, never addresses (RFC 6066 section 3).
      return secure
        ? tls.connect({ ...context, ...to, ...(net.isIP(host) ? {} : { servername: host }) })
        : net.connect(to);
    });
    const options = { keepAlive: true, maxSockets: connectionsMax, ...context };
    this.#agent = secure
      ? new SparingHttpsAgent(options, this.#spares)
      : new SparingHttpAgent({ keepAlive: true, maxSockets: connectionsMax }, this.#spares);
    this.#request = secure ? https.request : http.request;
    this.#base = { host, port: port ? Number(port) : undefined, agent: this.#agent };
    this.#pathPrefix = pathname.replace(/\/$/, '');
  }

  /** Sends; the function returned ends it without another word, and its socket with it. */
  send({ method, path, headers, body }: AttemptRequest, listener: AttemptListener): () => void {
    let over = false;
    const finish = (): boolean => {
      const first = !over;
      over = true;
      return first;
    };
    const { host, port, agent } = this.#base;
    const request = this.#request({ host, port, agent, method, path: this.#pathPrefix + path, headers });
    const failed = (error: Error) => {
      if (!finish()) return;
      request.destroy();
      listener.failed(error);
    };
    // Stays for good: a destroyed request still reports its own end.
    request.on('error', failed);
    request.on('response', (response) => {
      if (over) return;
      listener.heard();
      collect(response, listener, failed, (answer) => {
        if (finish()) listener.answered(answer);
      });
    });
    request.end(body);
    return () => {
      if (finish()) request.destroy();
    };
  }

  /** How many spare connections there should be; opens what is missing, and leaves what is too many to die. */
  wantSpares(count: number): void {
    this.#spares.want(count);
  }

  close(): void {
    this.#spares.close();
    this.#agent.destroy();
  }
}

function collect(
  response: http.IncomingMessage,
  listener: AttemptListener,
  failed: (error: Error) => void,
  done: (answer: AttemptAnswer) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    listener.heard();
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX)
      failed(new Error(`an answer has at most ${ANSWER_BYTES_MAX} bytes, got more`));
    else chunks.push(chunk);
  });
  // A body cut short ends in an error, never in `end`.
  response.on('error', failed);
  response.on('end', () => {
    const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    done({ status: response.statusCode ?? 0, headers: response.headers, body });
  });
}

/** Idle open sockets, replaced as they are taken or die. One that dies young is replaced at the next demand only,
 * so that a server which refuses or closes at once is not dialled in a loop. */
class Spares {
  readonly #idle = new Map<net.Socket, () => void>();
  /** Connected, and through the handshake. */
  readonly #ready = new WeakSet<net.Socket>();
  readonly #max: number;
  readonly #open: () => net.Socket;
  #wanted = 0;
  #closed = false;

  constructor(max: number, open: () => net.Socket) {
    this.#max = max;
    this.#open = open;
  }

  want(count: number): void {
    this.#wanted = Math.min(count, this.#max);
    this.#fill();
  }

  #fill(): void {
    while (!this.#closed && this.#idle.size < this.#wanted) {
      const socket = this.#open();
      const openedAt = performance.now();
      const gone = () => {
        this.#idle.delete(socket);
        if (performance.now() - openedAt > YOUNG_MS) this.#fill();
      };
      this.#idle.set(socket, gone);
      socket.on('error', () => socket.destroy());
      socket.once('close', gone);
      socket.once(socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect', () =>
        this.#ready.add(socket),
      );
      // Reading is what notices that the other side has closed.
      socket.resume();
      socket.unref();
    }
  }

  /** The oldest one that is ready, if any. */
  take(): net.Socket | undefined {
    for (const [socket, gone] of this.#idle) {
      if (!this.#ready.has(socket) || socket.destroyed || !socket.writable) continue;
      this.#idle.delete(socket);
      socket.off('close', gone);
      socket.ref();
      queueMicrotask(() => this.#fill());
      return socket;
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#idle.keys()) socket.destroy();
  }
}

const YOUNG_MS = 1_000;

type OnSocket = (error: Error | null, socket: Duplex) => void;

class SparingHttpAgent extends http.Agent {
  readonly #spares: Spares;
  constructor(options: http.AgentOptions, spares: Spares) {
    super(options);
    this.#spares = spares;
  }
  override createConnection(options: http.ClientRequestArgs, done?: OnSocket) {
    return this.#spares.take() ?? super.createConnection(options, done);
  }
}

class SparingHttpsAgent extends https.Agent {
  readonly #spares: Spares;
  constructor(options: https.AgentOptions, spares: Spares) {
    super(options);
    this.#spares = spares;
  }
  override createConnection(options: https.RequestOptions, done?: OnSocket) {
    return this.#spares.take() ?? super.createConnection(options, done);
  }
}
