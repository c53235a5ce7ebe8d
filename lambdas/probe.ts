// What an observer asks the network (DESIGN §4): is a serving region ready, and is anything else reachable from here?
// Every question takes a connection of its own, since one that was kept could hide that no new one comes through, or
// be dead while the region is not.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { EMERGENCY_PROBE_EVERY_MS, EMERGENCY_PROBES, PROBE_MS_MAX } from '../protocol/limits.ts';
import { PATHS } from '../protocol/messages.ts';
import type { Control, ProbeOutcome } from './core/failover.ts';

export interface Prober {
  /** `GET /ready` of a serving region. One that cannot be reached is tried again, a second apart; the last answer counts. */
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

/** Of what a region says about itself, and of an error. */
const WHY_CHARS_MAX = 200;
const BODY_BYTES_MAX = 64 * 1024;

export function createProber({ timeoutMs = PROBE_MS_MAX, wait = sleep }: ProberOptions = {}): Prober {
  async function probe(endpoint: string): Promise<ProbeOutcome> {
    const got = await get(`${endpoint.replace(/\/$/, '')}${PATHS.ready}`, timeoutMs);
    if (got.kind === 'thrown') return { kind: 'unreachable', why: got.why };
    if (got.kind === 'silent') return { kind: 'not_ready', why: got.why };
    return saysReady(got) ? { kind: 'ready' } : { kind: 'not_ready', why: whyNot(got) };
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
      const answers = await Promise.all(urls.map(async (url) => ({ url, got: await get(url, timeoutMs) })));
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

function get(url: string, timeoutMs: number): Promise<Got> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve) => {
    const failed = (error: Error) =>
      resolve(
        signal.aborted
          ? { kind: 'silent', why: `no answer within ${timeoutMs} ms` }
          : { kind: isAnswered(error) ? 'silent' : 'thrown', why: clipped(whyOf(error)) },
      );
    const asking = request(url, { agent: false, signal, headers: { connection: 'close' } }, (response) => {
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
