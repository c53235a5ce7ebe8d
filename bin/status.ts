// `npm run status`: who is active, and what each health check says and why, asked of a resolver. A running rehearsal
// leaves word of where its own is.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const USAGE = `npm run status -- [--resolver URL] [--name NAME] [--state FILE] [--json]
  --resolver  which one to ask; default that of the rehearsal that runs here
  --name      the failover name; default the rehearsal's own
  --state     where npm start left word of it; default .cache/rehearsal.json
  --json      one line of JSON`;

/** Written by `npm start` while it runs. */
const STATE_FILE_DEFAULT = join(import.meta.dirname, '..', '.cache', 'rehearsal.json');
const ASK_MS_MAX = 5_000;

interface HealthCheck {
  readonly name: string;
  readonly healthy: boolean;
  readonly since: number;
  readonly why: string;
}

interface Status {
  readonly resolver: string;
  /** Undefined where the name has no answer, or there is no name to ask for. */
  readonly active: { readonly name: string; readonly region: string; readonly ttlS: number } | undefined;
  readonly healthChecks: readonly HealthCheck[];
}

interface Resolution {
  readonly Status: number;
  readonly Answer: readonly { readonly TTL: number; readonly data: string }[];
  readonly region?: string;
}

async function ask<T>(url: string): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
  } catch (cause) {
    throw new Error(
      `${new URL(url).origin} does not answer: is the rehearsal running? Start one with npm start`,
      {
        cause,
      },
    );
  }
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

async function statusOf(resolver: string, name: string | undefined): Promise<Status> {
  const { healthChecks } = await ask<{ healthChecks: HealthCheck[] }>(`${resolver}/health-checks`);
  if (name === undefined) return { resolver, active: undefined, healthChecks };
  const found = await ask<Resolution>(`${resolver}/resolve?name=${encodeURIComponent(name)}&type=A`);
  const [first] = found.Answer;
  const active =
    first && found.region !== undefined ? { name, region: found.region, ttlS: first.TTL } : undefined;
  return { resolver, active, healthChecks };
}

/** What the rehearsal running here says of itself; nothing when none runs. */
async function running(file: string): Promise<{ resolver?: string; failoverName?: string }> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as { resolver?: string; failoverName?: string };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

function inWords({ active, healthChecks, resolver }: Status): string {
  const lines = active
    ? [`${active.region} is active: ${active.name} leads there (TTL ${active.ttlS} s)`]
    : ['nobody is active by DNS: there is no failover name, or it has no answer'];
  lines.push('', `health checks, by ${resolver}`);
  for (const { name, healthy, why, since } of healthChecks)
    lines.push(
      `  ${healthy ? 'healthy  ' : 'UNHEALTHY'}  ${name}`,
      `             ${why}; since ${new Date(since).toISOString()}`,
    );
  if (healthChecks.length === 0) lines.push('  none');
  return lines.join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      resolver: { type: 'string' },
      name: { type: 'string' },
      state: { type: 'string', default: STATE_FILE_DEFAULT },
      json: { type: 'boolean', default: false },
    },
  });
  const known = await running(values.state);
  const resolver = values.resolver ?? known.resolver;
  if (resolver === undefined)
    throw new Error('no rehearsal runs here: start one with npm start, or give --resolver');
  if (!URL.canParse(resolver)) throw new RangeError(`--resolver is a URL, got "${resolver}"`);
  const name = values.name ?? known.failoverName;
  const status = await statusOf(resolver.replace(/\/$/, ''), name);
  console.log(values.json ? JSON.stringify(status) : inWords(status));
}

try {
  await main();
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`status: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = 1;
}
