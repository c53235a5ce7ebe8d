// Between a device and a region: an HTTP proxy that passes everything on as it is and notes what a push carried and
// what was said to it. What it notes does not depend on what the client library says of itself.
import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { PATHS, type PushRequest, type PushResponse } from '../../../protocol/messages.ts';
import { preciseNow } from '../../measuring.ts';
import { listen } from '../../supervisor/ports.ts';
import { markOf, type Sent } from './history.ts';

export interface WireTap {
  /** In place of the region's own address. */
  readonly url: string;
  /** Pushes that are not over. */
  readonly underWay: number;
  close(): Promise<void>;
}

/** Whoever pushes waits this long at most; the connection is dropped then. Longer than any request of the library. */
const TIMEOUT_MS = 120_000;

/** Opens one between a device and `region` at `target`; `note` gets what a push carried once it is over, answered or not. */
export async function openWireTap(
  region: string,
  target: string,
  note: (sent: readonly Sent[]) => void,
): Promise<WireTap> {
  const agent = new Agent({ keepAlive: true });
  const way: Way = { region, target, agent, note, underWay: 0 };
  const server = createServer({ keepAliveTimeout: TIMEOUT_MS }, (incoming, outgoing) =>
    pass(incoming, outgoing, way),
  );
  const port = await listen(server, 0);
  return {
    url: `http://127.0.0.1:${port}`,
    get underWay() {
      return way.underWay;
    },
    close: () => close(server, agent),
  };
}

interface Way {
  readonly region: string;
  readonly target: string;
  readonly agent: Agent;
  readonly note: (sent: readonly Sent[]) => void;
  underWay: number;
}

function pass(incoming: IncomingMessage, outgoing: ServerResponse, way: Way): void {
  const sentAt = preciseNow();
  const isPush = incoming.method === 'POST' && incoming.url === PATHS.push;
  const asked: Buffer[] = [];
  const answered: Buffer[] = [];
  const onward = request(`${way.target}${incoming.url}`, {
    method: incoming.method,
    headers: incoming.headers,
    agent: way.agent,
    timeout: TIMEOUT_MS,
  });
  let isOver = false;
  if (isPush) way.underWay += 1;
  const over = (status?: number) => {
    if (isOver) return;
    isOver = true;
    if (!isPush) return;
    way.underWay -= 1;
    way.note(sentOf(way.region, { sentAt, asked, answered, status }));
  };
  const broken = () => {
    over();
    onward.destroy();
    // As the far end broke: a reset, not an answer.
    incoming.socket.resetAndDestroy();
  };
  onward.on('error', broken);
  onward.on('timeout', broken);
  onward.on('response', (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.on('error', broken);
    response.on('data', (chunk: Buffer) => {
      if (isPush) answered.push(chunk);
      outgoing.write(chunk);
    });
    response.on('end', () => {
      over(response.statusCode);
      outgoing.end();
    });
  });
  incoming.on('data', (chunk: Buffer) => {
    if (isPush) asked.push(chunk);
    onward.write(chunk);
  });
  incoming.on('end', () => onward.end());
  // The device gave up: so does this end.
  outgoing.on('close', () => {
    over();
    if (!outgoing.writableFinished) onward.destroy();
  });
}

interface Passed {
  readonly sentAt: number;
  readonly asked: readonly Buffer[];
  readonly answered: readonly Buffer[];
  /** Absent: no answer came whole. */
  readonly status: number | undefined;
}

function sentOf(region: string, { sentAt, asked, answered, status }: Passed): readonly Sent[] {
  const operations = (parsed(asked) as Partial<PushRequest> | undefined)?.operations;
  if (operations === undefined) return [];
  const verdicts =
    status === 200 ? (parsed(answered) as Partial<PushResponse> | undefined)?.verdicts : undefined;
  const byOperation = new Map(
    verdicts?.map((verdict) => [`${verdict.session} ${verdict.sequence}`, verdict]),
  );
  const at = preciseNow();
  const refused = status !== undefined && status >= 400 && status < 500;
  return operations.flatMap((operation) => {
    const mark = operation.kind === 'put' ? markOf(operation.payload) : undefined;
    if (mark === undefined) return [];
    const { session, sequence, version, base, collection, id } = operation;
    const said = byOperation.get(`${session} ${sequence}`);
    const answer = said && {
      at,
      verdict: said.verdict,
      ...('version' in said && said.version !== undefined ? { version: said.version } : {}),
      ...(said.verdict === 'deferred' ? { reason: said.reason } : {}),
    };
    return [
      {
        ...mark,
        key: `${collection}/${id}`,
        session,
        sequence,
        version,
        ...(base === undefined ? {} : { base }),
        region,
        sentAt,
        ...(refused ? { refused } : {}),
        ...(answer ? { answer } : {}),
      },
    ];
  });
}

/** Undefined for what did not come whole. */
function parsed(chunks: readonly Buffer[]): unknown {
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

async function close(server: Server, agent: Agent): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  agent.destroy();
  await closed;
}
