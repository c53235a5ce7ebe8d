// The regions a command was asked about, and the others that may have what those lack.
import { type Config, defineConfig, regionsOf, type StageConfig } from '../config/config.ts';
import { STAGES } from '../config/stages.ts';
import { type TableAddress, tableFrom } from './routing/where.ts';

/** Where a command that verifies regions, or fills one, is to look. */
export interface Asked {
  readonly stage: string;
  readonly table: TableAddress;
  readonly config: Config;
  /** Each once, in the order they were named. */
  readonly regions: readonly string[];
}

/** @throws {RangeError} what is to be filled is not one region, or one is none of the stage's */
export async function askedFrom(
  what: 'verify' | 'fill',
  { region, ...where }: Parameters<typeof tableFrom>[0] & { readonly region?: readonly string[] },
): Promise<Asked> {
  if (what === 'fill' && region?.length !== 1)
    throw new RangeError(`fill takes one --region, got ${region?.length ?? 0}`);
  const { stage, ...table } = await tableFrom(where);
  const config = defineConfig(stage, STAGES[stage] as StageConfig);
  const all = regionsOf(config);
  for (const it of region ?? [])
    if (!all.includes(it)) throw new RangeError(`--region is one of ${all.join(', ')}, got "${it}"`);
  return { stage, table, config, regions: [...new Set(region ?? all)] };
}

export interface Everywhere<T> {
  /** Those asked for, in that order. */
  readonly places: readonly T[];
  /** Of the others, those that answer. */
  readonly peers: readonly T[];
  /** Of the others, those that do not: a region that is down must not keep the rest from being looked at. */
  readonly silent: readonly string[];
}

/** @throws whatever `open` does for a region that was asked for */
export async function openEverywhere<T>(
  asked: readonly string[],
  all: readonly string[],
  open: (region: string) => Promise<T>,
): Promise<Everywhere<T>> {
  const others = all.filter((region) => !asked.includes(region));
  const [places, settled] = await Promise.all([
    Promise.all(asked.map(open)),
    Promise.allSettled(others.map(open)),
  ]);
  return {
    places,
    peers: settled.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : [])),
    silent: others.filter((_, index) => settled[index]?.status === 'rejected'),
  };
}
