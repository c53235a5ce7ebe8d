// What an observer asks the network (DESIGN §4): is a serving region ready and at work, and is anything else reachable
// from here? Work is asked for where clients meet it: each function that does it, through the API, and the authorizer
// with a token that it must refuse, since an observer has no other (ADR 0014). Every question takes a connection of its
// own, since one that was kept could hide that no new one comes through, or be dead while the region is not.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { EMERGENCY_PROBE_EVERY_MS, EMERGENCY_PROBES, PROBE_MS_MAX } from '../protocol/limits.ts';
import { PATHS } from '../protocol/messages.ts';
import type { Control, ProbeOutcome } from './core/failover.ts';

export interface Prober {
  /** `GET /ready` of a serving region, and where that is ready, its work. One that cannot be reached is tried again, a
   * second apart; the last answer counts. */
  ready(endpoint: string): Promise<ProbeOutcome>;
  /** Whether any of these addresses gives any answer at all. */
  control(urls: readonly string[]): Promise<Control>;
}

export interface ProberOptions {
  /** One question. @default 5 s */
  readonly timeoutMs?: number;
  /** Resolves after that many ms. @default a timer */
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** What has to answer for a region to be at work. */
const AT_WORK: readonly WorkProbe[] = [
  { what: 'records', path: PATHS.readyRecords, isWell: isReadyOrUnknown },
  { what: 'push', path: PATHS.readyPush, isWell: isReadyOrUnknown },
  { what: 'pull', path: PATHS.readyPull, isWell: isReadyOrUnknown },
  // No token, so that nobody can use it: API Gateway asks the authorizer all the same, which loads its keys and refuses.
  {
    what: 'authorizer',
    path: PATHS.pull,
    headers: { authorization: 'Bearer an-observer-has-none' },
    isWell: ({ status }) => status === 401,
  },
];

interface WorkProbe {
  readonly what: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly isWell: (answer: Answer) => boolean;
}

/** Of what a region says about itself, and of an error. */
const WHY_CHARS_MAX = 200;
const BODY_BYTES_MAX = 64 * 1024;

export function createProber({ timeoutMs = PROBE_MS_MAX, wait = sleep }: ProberOptions = {}): Prober {
  async function probe(endpoint: string): Promise<ProbeOutcome> {
    const base = endpoint.replace(/\/$/, '');
    const got = await get(`${base}${PATHS.ready}`, { timeoutMs });
    if (got.kind === 'thrown') return { kind: 'unreachable', why: got.why };
    if (got.kind === 'silent') return { kind: 'not_ready', why: got.why, answered: false };
    if (!saysReady(got)) return { kind: 'not_ready', why: whyNot(got), answered: true };
    const amiss = (await Promise.all(AT_WORK.map((it) => amissWith(base, it)))).filter(Boolean);
    if (amiss.length === 0) return { kind: 'ready' };
    return { kind: 'not_ready', why: clipped(amiss.join('; ')), answered: true };
  }

  async function amissWith(base: string, { what, path, headers, isWell }: WorkProbe): Promise<string> {
    const got = await get(`${base}${path}`, { timeoutMs, headers });
    if (got.kind !== 'answer') return `${what}: ${got.why}`;
    return isWell(got) ? '' : `${what}: ${whyNot(got)}`;
  }

  return {
    async ready(endpoint) {
      let outcome = await probe(endpoint);
      for (let again = 0; again < EMERGENCY_PROBES && outcome.kind === 'unreachable'; again += 1) {
        await wait(EMERGENCY_PROBE_EVERY_MS);
        outcome = await probe(endpoint);
      }
      return outcome;
    },

    async control(urls) {
      const answers = await Promise.all(
        urls.map(async (url) => ({ url, got: await get(url, { timeoutMs }) })),
      );
      if (answers.some(({ got }) => got.kind === 'answer')) return { reachable: true };
      const whys = answers.map(({ url, got }) => `${url}: ${got.kind === 'answer' ? '' : got.why}`);
      return { reachable: false, why: whys.join(', ') };
    },
  };
}

interface Answer {
  readonly kind: 'answer';
  readonly status: number;
  readonly body: string;
}

type Got =
  | Answer
  /** Time was up, or what came was no whole answer. */
  | { readonly kind: 'silent'; readonly why: string }
  /** The request itself failed. */
  | { readonly kind: 'thrown'; readonly why: string };

interface GetOptions {
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

function get(url: string, { timeoutMs, headers = {} }: GetOptions): Promise<Got> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve) => {
    const failed = (error: Error) =>
      resolve(
        signal.aborted
          ? { kind: 'silent', why: `no answer within ${timeoutMs} ms` }
          : { kind: isAnswered(error) ? 'silent' : 'thrown', why: clipped(whyOf(error)) },
      );
    const sent = { ...headers, connection: 'close' };
    const asking = request(url, { agent: false, signal, headers: sent }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
        else {
          resolve({ kind: 'silent', why: `an answer of more than ${BODY_BYTES_MAX} bytes` });
          asking.destroy();
        }
      });
      response.on('end', () =>
        resolve({
          kind: 'answer',
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
      // It did answer, if not to the end.
      response.on('error', () =>
        resolve({
          kind: 'silent',
          why: signal.aborted ? `no answer within ${timeoutMs} ms` : 'the answer broke off',
        }),
      );
    });
    asking.on('error', failed);
    asking.end();
  });
}

/** Something answered, but no HTTP. https://nodejs.org/docs/latest-v24.x/api/errors.html */
function isAnswered(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && error.code.startsWith('HPE_');
}

/** An address that has several tries all of them, and its error has no words of its own. */
function whyOf(error: Error): string {
  if (error.message !== '') return error.message;
  return 'code' in error ? String(error.code) : error.name;
}

function saysReady({ status, body }: Answer): boolean {
  return status === 200 && readinessIn(body)?.status === 'ready';
}

/** A release that does not have this path yet has nothing to say about it: regions are upgraded one after the other. */
function isReadyOrUnknown(answer: Answer): boolean {
  return answer.status === 404 || saysReady(answer);
}

/** Those of its dependencies that are not well, in the region's own words. */
function whyNot({ status, body }: Answer): string {
  const dependencies = Object.entries(readinessIn(body)?.dependencies ?? {});
  const bad = dependencies
    .filter(([, said]) => said !== 'ok')
    .map(([name, said]) => `${name}: ${String(said)}`);
  return clipped(`status ${status}${bad.length > 0 ? `, ${bad.join(', ')}` : ''}`);
}

function readinessIn(
  body: string,
): { readonly status?: unknown; readonly dependencies?: object } | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const status = 'status' in parsed ? parsed.status : undefined;
    const dependencies = 'dependencies' in parsed ? parsed.dependencies : undefined;
    return { status, ...(typeof dependencies === 'object' && dependencies !== null && { dependencies }) };
  } catch {
    return undefined;
  }
}

function clipped(text: string): string {
  return text.slice(0, WHY_CHARS_MAX);
}
