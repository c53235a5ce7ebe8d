// One look at a region from where the operator sits, and one at where the failover name leads. A look never throws:
// that something does not answer is what it is there to find out.
import { resolveCname } from 'node:dns/promises';
import { PROBE_MS_MAX } from '../../protocol/limits.ts';
import { HEADERS, type ReadyResponse } from '../../protocol/messages.ts';
import { reasonOf } from './table.ts';
import type { DnsAddress } from './where.ts';

/** `silent`: no answer at all. `not_asked`: nobody knows where. */
export interface HealthLook {
  readonly outcome: 'ok' | 'evacuated' | 'failing' | 'silent' | 'not_asked';
  readonly why: string;
}

export interface ReadyLook {
  readonly outcome: 'ready' | 'not_ready' | 'silent' | 'not_asked';
  readonly why: string;
}

/** Where the failover name leads; undefined `region` where that is not known, and `why` not. */
export interface DnsLook {
  readonly region: string | undefined;
  readonly ttlS: number | undefined;
  readonly why: string;
}

export interface HealthCheck {
  /** Absent where there is no such check. */
  readonly id?: string;
  readonly name: string;
  /** `alarm` is the one that keeps an evacuated primary out of DNS. */
  readonly kind: 'endpoint' | 'calculated' | 'alarm';
  /** Absent where that is not known. */
  readonly healthy?: boolean;
  /** Unix ms; absent on AWS, where Route 53 does not say. */
  readonly since?: number;
  readonly why: string;
}

const NO_ADDRESS = 'it is not known where this region answers';

export async function lookAtHealth(url: string | undefined): Promise<HealthLook> {
  if (url === undefined) return { outcome: 'not_asked', why: NO_ADDRESS };
  try {
    const response = await get(url);
    await response.body?.cancel();
    const { status } = response;
    if (status === 503 && response.headers.get(HEADERS.evacuated) === 'true')
      return { outcome: 'evacuated', why: 'answers 503, evacuated' };
    return { outcome: status === 200 ? 'ok' : 'failing', why: `answers ${status}` };
  } catch (error) {
    return { outcome: 'silent', why: whyOf(error) };
  }
}

export async function lookAtReady(url: string | undefined): Promise<ReadyLook> {
  if (url === undefined) return { outcome: 'not_asked', why: NO_ADDRESS };
  try {
    const response = await get(url);
    const text = await response.text();
    const { status } = response;
    const said = bodyOf(text);
    if (status === 200 && said?.status === 'ready') return { outcome: 'ready', why: 'answers 200, ready' };
    const broken = Object.entries(said?.dependencies ?? {}).filter(([, outcome]) => outcome !== 'ok');
    const why = broken.map(([name, outcome]) => `${name}: ${outcome}`).join('; ');
    return { outcome: 'not_ready', why: `answers ${status}${why ? ` (${why})` : ''}` };
  } catch (error) {
    return { outcome: 'silent', why: whyOf(error) };
  }
}

function bodyOf(text: string): Partial<ReadyResponse> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Partial<ReadyResponse>) : undefined;
  } catch {
    return undefined;
  }
}

/** @throws {Error} it does not answer, or not with what was asked for; what to do then */
export async function healthChecksBy(resolver: string): Promise<readonly HealthCheck[]> {
  return (await ask<{ healthChecks: HealthCheck[] }>(`${resolver}/health-checks`)).healthChecks;
}

interface Resolution {
  readonly Answer: readonly { readonly TTL: number }[];
  readonly region?: string;
}

/** @throws {Error} the resolver does not answer, or not properly; a name without an answer is no error */
export async function dnsBy(resolver: string, name: string): Promise<DnsLook> {
  const found = await ask<Resolution>(`${resolver}/resolve?name=${encodeURIComponent(name)}&type=A`);
  const [first] = found.Answer;
  return first && found.region !== undefined
    ? { region: found.region, ttlS: first.TTL, why: `${name} leads there` }
    : { region: undefined, ttlS: undefined, why: `${name} has no answer` };
}

async function ask<T>(url: string): Promise<T> {
  let response: Response;
  try {
    response = await get(url);
  } catch (cause) {
    throw new Error(
      `${new URL(url).origin} does not answer: is the rehearsal running? Start one with npm start`,
      { cause },
    );
  }
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

/** Never throws. On AWS it asks this machine's own name servers, whose answer may be a TTL old. */
export async function lookAtDns(dns: DnsAddress): Promise<DnsLook> {
  const unknown = (why: string): DnsLook => ({ region: undefined, ttlS: undefined, why });
  try {
    if (dns.kind === 'none') return unknown(dns.why);
    if (dns.kind === 'resolver')
      return dns.name === undefined ? unknown('there is no failover name') : await dnsBy(dns.url, dns.name);
    const targets = await resolveCname(dns.name);
    const region = targets.map((target) => dns.origins.get(target)).find((it) => it !== undefined);
    return region === undefined
      ? unknown(`${dns.name} leads to ${targets.join(', ')}, which is no region's origin`)
      : { region, ttlS: dns.ttlS, why: `${dns.name} leads there` };
  } catch (error) {
    return unknown(reasonOf(error));
  }
}

/** A connection of its own, so that it says whether one can be made now. */
function get(url: string): Promise<Response> {
  return fetch(url, {
    signal: AbortSignal.timeout(PROBE_MS_MAX),
    headers: { connection: 'close' },
    redirect: 'manual',
  });
}

function whyOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `no answer within ${PROBE_MS_MAX / 1_000} s`;
  // `fetch failed` says nothing; its cause does.
  return `no answer: ${reasonOf((error as { cause?: unknown }).cause ?? error)}`;
}
