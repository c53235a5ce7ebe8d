// From what stands in the buckets to layers that are ready to be read: the plan, and every file of it looked at once, so
// that what rotted since it was verified is known before anything is closed for it.
import { type KnownBackup, planRestore, type RestorePlan } from '../../protocol/restoring.ts';
import type { Ask } from './ask.ts';
import { knownAt, type Layer, openLayer, rotIn, takeInventory } from './inventory.ts';
import { journalSince } from './journals.ts';
import type { Source } from './places.ts';
import type { Saved } from './saved.ts';

export interface Prepared {
  readonly plan: RestorePlan;
  readonly layers: readonly Layer[];
  /** Names of backups that say nothing that can be read. */
  readonly unreadable: readonly string[];
}

export interface Preparing {
  readonly sources: readonly Source[];
  readonly ask: Pick<Ask, 'backup'>;
  readonly untilMs: number;
  readonly say: (says: string) => void;
  /** Backups of others are not taken. @default those of every source */
  readonly among?: readonly string[] | undefined;
  /** What is wrong with a file of a backup. @default they are all read here */
  readonly look?: ((layer: Layer) => Promise<string | undefined>) | undefined;
}

/** @throws {Error} what has to be read cannot be, forced or not */
export async function prepare(preparing: Preparing): Promise<Prepared> {
  const { sources, ask, untilMs, among } = preparing;
  const named = ask.backup;
  const [inventory, since] = await Promise.all([
    takeInventory(sources, { untilMs, named }),
    journalSince(sources),
  ]);
  const faults = new Map<string, string>();
  for (;;) {
    const plan = planRestore({
      backups: inventory.backups
        .filter(({ source }) => among?.includes(source) !== false)
        .map((it) => withFault(it, faults)),
      sources: sources.map(({ name }) => name),
      untilMs,
      journalSince: since,
      named,
    });
    const opened = await openChain(preparing, plan.chain, faults);
    if (opened)
      return {
        plan,
        layers: opened,
        unreadable: inventory.unreadable.map(({ source, prefix, why }) => `${prefix} in ${source}: ${why}`),
      };
  }
}

/** Undefined: something was found that the plan did not know. */
async function openChain(
  preparing: Preparing,
  chain: readonly KnownBackup[],
  faults: Map<string, string>,
): Promise<readonly Layer[] | undefined> {
  const { sources, say } = preparing;
  const layers: Layer[] = [];
  for (const known of chain) {
    const place = placeOf(known);
    const isKnown = faults.has(place);
    const found = await openAndLook(preparing, known);
    if (typeof found !== 'string') layers.push(found);
    else if (!isKnown) {
      say(`${known.prefix} in ${known.source} is not what was verified: ${found}`);
      faults.set(place, found);
      return undefined;
    } else {
      // Chosen all the same, since there is nothing better.
      layers.push(await openLayer(sourceOf(sources, known), known));
    }
  }
  return layers;
}

async function openAndLook({ sources, say, look }: Preparing, known: KnownBackup): Promise<Layer | string> {
  let layer: Layer;
  try {
    layer = await openLayer(sourceOf(sources, known), known);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { files } = layer;
  const rot = await (look?.(layer) ?? rotIn(layer, () => undefined));
  if (rot === undefined)
    say(`${known.prefix} in ${known.source}: ${files.length} files are what their manifest says`);
  return rot ?? layer;
}

/** The same layers again, of a restore that goes on. @throws {Error} one of them is gone, or was made again */
export async function reopen(sources: readonly Source[], { chain }: Saved): Promise<readonly Layer[]> {
  return await Promise.all(
    chain.map(async ({ source, prefix, exportArn }) => {
      const at = sourceOf(sources, { source });
      const known = await knownAt(at, prefix);
      if (known?.backup.exportArn !== exportArn)
        throw new Error(
          `${prefix} in ${source}: expected the export ${exportArn}, got ${known?.backup.exportArn ?? 'none'}`,
        );
      return await openLayer(at, known);
    }),
  );
}

function sourceOf(sources: readonly Source[], { source }: Pick<KnownBackup, 'source'>): Source {
  const found = sources.find(({ name }) => name === source);
  if (!found) throw new Error(`the backup bucket of ${source} does not answer: expected to read from it`);
  return found;
}

function placeOf({ source, prefix }: KnownBackup): string {
  return `${source}\n${prefix}`;
}

function withFault(known: KnownBackup, faults: ReadonlyMap<string, string>): KnownBackup {
  const fault = faults.get(placeOf(known));
  return fault === undefined ? known : { ...known, fault };
}
