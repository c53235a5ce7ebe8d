// Where the system is that a command asks or steers: the rehearsal that runs here, by the word `npm start` leaves of
// itself, or a stage on AWS (or on another endpoint), by its configuration.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Config,
  defineConfig,
  type Role,
  regionalName,
  regionOf,
  rolesOf,
} from '../../config/config.ts';
import { STAGES } from '../../config/stages.ts';
import { evacuatedAlarmName, healthCheckNames, originName, tableName } from '../../lib/names.ts';
import { PATHS } from '../../protocol/messages.ts';
import type { ExpectedChecks } from './route53.ts';

export interface Where {
  /** In words, e.g. `stage prod on AWS`. */
  readonly name: string;
  /** Whose names resources have. */
  readonly stage: string;
  /** Absent where nothing is known but a resolver. */
  readonly table?: TableAddress;
  /** Primary, standby and, where there is one, quorum; empty without a table. */
  readonly regions: readonly Place[];
  readonly dns: DnsAddress;
}

export interface TableAddress {
  readonly name: string;
  /** @default AWS's, or what AWS_ENDPOINT_URL says */
  readonly endpoint?: string;
  /** @default the environment's, as every AWS tool finds them */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export interface Place {
  readonly region: string;
  readonly role: Role;
  /** Absent for a region that serves nobody, or whose address is not known. */
  readonly health?: string;
  readonly ready?: string;
}

/** How to learn where the failover name leads. */
export type DnsAddress =
  | { readonly kind: 'resolver'; readonly url: string; readonly name: string | undefined }
  | {
      readonly kind: 'name';
      readonly name: string;
      readonly ttlS: number;
      /** Region by the name the failover name is an alias of. */
      readonly origins: ReadonlyMap<string, string>;
      /** The alarm whose health check keeps an evacuated primary out of DNS. */
      readonly evacuatedAlarm: string;
      /** Whom to ask Route 53 for. */
      readonly checks: ExpectedChecks;
    }
  | { readonly kind: 'none'; readonly why: string };

/** Written by `npm start` while it runs. */
const STATE_FILE_DEFAULT = join(import.meta.dirname, '..', '..', '.cache', 'rehearsal.json');

/** For `parseArgs`. */
export const WHERE_OPTIONS = {
  stage: { type: 'string' },
  endpoint: { type: 'string' },
  table: { type: 'string' },
  url: { type: 'string', multiple: true },
  state: { type: 'string', default: STATE_FILE_DEFAULT },
} as const;

export const WHERE_USAGE = `  --stage     a stage on AWS by its configuration; default the rehearsal that runs here
  --endpoint  another endpoint than AWS's for the table; with it the stage is dev unless named
  --table     the table itself, where it is not called as the stage's would be
  --url       REGION=URL, where a region answers if not at its name; repeatable
  --state     where npm start left word of the rehearsal; default .cache/rehearsal.json`;

export interface WhereValues {
  readonly stage?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly table?: string | undefined;
  readonly url?: readonly string[] | undefined;
  readonly state: string;
}

/**
 * Undefined when no stage is named and no rehearsal runs here.
 * @throws {RangeError} an option that makes no sense
 * @throws {Error} the word a rehearsal left cannot be read
 */
export async function whereFrom(values: WhereValues): Promise<Where | undefined> {
  const { stage, endpoint, table, url = [], state } = values;
  if (endpoint !== undefined) assertUrl('--endpoint', endpoint);
  if (stage === undefined && endpoint === undefined) {
    if (table !== undefined || url.length > 0)
      throw new RangeError('--table and --url go with --stage or --endpoint: a rehearsal says these itself');
    return rehearsalAt(state);
  }
  return stageAt({ stage: stage ?? 'dev', endpoint, table, url });
}

function stageAt({
  stage,
  endpoint,
  table,
  url,
}: {
  readonly stage: string;
  readonly endpoint: string | undefined;
  readonly table: string | undefined;
  readonly url: readonly string[];
}): Where {
  const raw = Object.hasOwn(STAGES, stage) ? STAGES[stage] : undefined;
  if (!raw) throw new RangeError(`--stage is one of ${Object.keys(STAGES).join(', ')}, got "${stage}"`);
  const config = defineConfig(stage, raw);
  const { domain, dns } = config;
  const roles = rolesOf(config).map((role) => ({ region: regionOf(config, role), role }));
  const serving = roles.filter(({ role }) => role !== 'quorum').map(({ region }) => region);
  const given = urlsOf(url, serving);
  // Names lead to AWS, so they say nothing about another endpoint.
  const named = domain && endpoint === undefined ? domain : undefined;
  const baseOf = (region: string) =>
    given.get(region) ??
    (named && serving.includes(region) ? `https://${regionalName(named.name, region)}` : undefined);
  return {
    name: `stage ${stage} on ${endpoint ?? 'AWS'}`,
    stage,
    table: { name: table ?? tableName(stage), ...(endpoint === undefined ? {} : { endpoint }) },
    regions: roles.map(({ region, role }) => ({ region, role, ...pathsAt(baseOf(region)) })),
    dns: named
      ? {
          kind: 'name',
          name: named.name,
          ttlS: dns.ttlMs / 1_000,
          origins: new Map(serving.map((region) => [originName(named.name, region), region])),
          evacuatedAlarm: evacuatedAlarmName(stage),
          checks: checksOf(config, named.name),
        }
      : {
          kind: 'none',
          why: domain ? `${domain.name} leads to AWS, not to ${endpoint}` : `stage ${stage} has no domain`,
        },
  };
}

/** As `FailoverDns` makes them. */
function checksOf({ stage, regions }: Config, domainName: string): ExpectedChecks {
  const names = healthCheckNames(stage);
  const endpoint = (role: 'primary' | 'standby') => ({
    name: names[role],
    host: regionalName(domainName, regions[role]),
  });
  return {
    endpoints: [endpoint('primary'), endpoint('standby')],
    alarm: { name: names.notEvacuated, alarmName: evacuatedAlarmName(stage), region: regions.standby },
    calculated: { name: names.primaryServes },
  };
}

function pathsAt(base: string | undefined): Pick<Place, 'health' | 'ready'> {
  return base === undefined ? {} : { health: `${base}${PATHS.health}`, ready: `${base}${PATHS.ready}` };
}

function urlsOf(texts: readonly string[], serving: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    texts.map((text) => {
      const [, region = '', url = ''] = /^([^=]+)=(.*)$/.exec(text) ?? [];
      if (!serving.includes(region))
        throw new RangeError(`--url is REGION=URL for one of ${serving.join(', ')}, got "${text}"`);
      assertUrl('--url', url);
      return [region, url.replace(/\/$/, '')] as const;
    }),
  );
}

function assertUrl(option: string, text: string): void {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw new RangeError(`${option} is an http or https URL, got "${text}"`);
}

/**
 * For commands that need nothing but the table, and what lies beside it: as {@link whereFrom}, but the environment may
 * name the endpoint, too.
 * @throws {Error} nothing is named, and no rehearsal runs here
 */
export async function tableFrom(
  values: Omit<WhereValues, 'url'>,
): Promise<TableAddress & Pick<Where, 'stage'>> {
  const isElsewhere = values.endpoint === undefined && process.env['AWS_ENDPOINT_URL'] !== undefined;
  const where = await whereFrom(isElsewhere ? { ...values, stage: values.stage ?? 'dev' } : values);
  if (!where?.table)
    throw new Error('no rehearsal runs here: start one with npm start, or name a stage with --stage');
  return { stage: where.stage, ...where.table };
}

/** What `npm start` leaves; an older one left only the resolver. */
interface StateFile {
  readonly resolver?: string;
  readonly failoverName?: string;
  readonly stage?: string;
  readonly table?: string;
  readonly aws?: {
    readonly endpoint: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  };
  readonly regions?: readonly {
    readonly region: string;
    readonly role: Role;
    readonly health?: string;
    readonly ready?: string;
  }[];
}

async function rehearsalAt(file: string): Promise<Where | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let left: StateFile;
  try {
    left = JSON.parse(text) as StateFile;
  } catch (cause) {
    throw new Error(`${file}: expected what npm start writes, got no JSON; start the rehearsal again`, {
      cause,
    });
  }
  const { resolver, failoverName, stage = 'dev', table, aws, regions = [] } = left;
  const isWhole = table !== undefined && aws !== undefined;
  return {
    name: `the rehearsal of stage ${stage} that runs here`,
    stage,
    ...(isWhole && {
      table: {
        name: table,
        endpoint: aws.endpoint,
        credentials: { accessKeyId: aws.accessKeyId, secretAccessKey: aws.secretAccessKey },
      },
    }),
    regions: isWhole
      ? regions.map(({ region, role, health, ready }) => ({
          region,
          role,
          ...(health !== undefined && { health }),
          ...(ready !== undefined && { ready }),
        }))
      : [],
    dns:
      resolver === undefined
        ? { kind: 'none', why: `${file} names no resolver` }
        : { kind: 'resolver', url: resolver, name: failoverName },
  };
}

/** The regions that can be active. */
export function servingOf({ regions }: Where): { readonly primary: Place; readonly standby: Place } {
  const primary = regions.find(({ role }) => role === 'primary');
  const standby = regions.find(({ role }) => role === 'standby');
  if (!primary || !standby)
    throw new Error(
      `expected a primary and a standby region, got ${regions.map(({ role }) => role).join(', ') || 'none'}; start the rehearsal again, or name a stage`,
    );
  return { primary, standby };
}
