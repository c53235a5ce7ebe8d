// A restore from what was asked to what came of it: plan, look, ask, and then the one of three ways that fits. Records
// that only have to be made whole are mended while the service goes on; everything else closes the table.
import { randomBytes } from 'node:crypto';
import type { UnitFacts } from '../../protocol/reading-layers.ts';
import type { RestorePlan } from '../../protocol/restoring.ts';
import { lasting } from '../routing/words.ts';
import { RestoreArchive } from './archive.ts';
import type { Asked } from './ask.ts';
import { HOW_TO_GO_ON, type Restored, restoreClosed } from './closed.ts';
import type { Layer } from './inventory.ts';
import { prepare, reopen } from './planning.ts';
import { firstState, parseSaved, type Saved } from './saved.ts';
import { NO_COUNTS, type RepairCounts } from './sinks.ts';
import { countsInWords, iso, journalLine, planLines, scopeInWords } from './words.ts';
import {
  countingSink,
  type Gone,
  goOver,
  type Reading,
  readJournals,
  repairSink,
  type Scene,
  workersOf,
} from './work.ts';

export interface Result {
  readonly ending: Restored['ending'] | 'mended' | 'nothing' | 'dry_run' | 'declined' | 'opened' | 'not_all';
  readonly why: string;
  readonly restoreEpoch?: number | undefined;
  readonly facts?: UnitFacts | undefined;
  readonly counts?: RepairCounts | undefined;
  readonly notFound?: readonly string[] | undefined;
}

export interface Undertaking extends Pick<Asked, 'what' | 'ask' | 'reason' | 'dryRun' | 'force' | 'here'> {
  /** Where it is, in words. */
  readonly name: string;
}

/** @throws {Error} it could not be carried out; the steps say what is left */
export async function restore(scene: Scene, wanted: Undertaking): Promise<Result> {
  const { target } = scene;
  const { state, revision } = await target.saved();
  if (wanted.what === 'restore') {
    if (state !== undefined && !wanted.dryRun)
      return { ending: 'refused', why: `${underWay(parseSaved(state), target.name)}. ${HOW_TO_GO_ON}` };
    return await begin(scene, wanted, revision);
  }
  if (state === undefined) return { ending: 'nothing', why: `no restore is under way in ${target.name}` };
  const saved = parseSaved(state);
  return wanted.what === 'resume'
    ? await goOn(scene, wanted, saved, revision)
    : await giveUp(scene, wanted, saved, revision);
}

function underWay({ id, ask, startedAtMs, reason }: Saved, name: string): string {
  return `${name} is being restored already: ${id}, ${scopeInWords(ask.scope)}, begun ${iso(startedAtMs)} because "${reason}"`;
}

async function begin(scene: Scene, wanted: Undertaking, revision: number): Promise<Result> {
  const { ports, target, places } = scene;
  const { ask, force, dryRun } = wanted;
  const startedAtMs = ports.now();
  const untilMs = ask.atMs ?? startedAtMs;
  const say = (says: string) => ports.say({ step: 'plan', says });
  for (const { name, why } of places.silent) say(`${name} does not answer: ${why}`);
  const id = idAt(startedAtMs);
  const workers = ask.workers && workersOf(scene, { id, ask });
  const { plan, layers, unreadable } = await prepare({
    ...{ sources: places.sources, ask, untilMs, say },
    ...(workers && { among: scene.functions.regions, look: (layer) => workers.look(layer) }),
  });
  for (const it of unreadable) say(`cannot be read: ${it}`);
  for (const line of planLines(plan)) say(line);
  const [isEmpty, generation] = await Promise.all([
    target.hasRecords().then((has) => !has),
    target.generation(),
  ]);
  if (plan.refusals.length > 0 && !force)
    return { ending: 'refused', why: `${refusalsInWords(plan)} (--force does it all the same)` };
  if (workers && !isEmpty)
    return {
      ending: 'refused',
      why: `workers load into an empty table, and ${target.name} has records: without --workers what is missing or damaged in it is put back from here`,
    };
  for (const { why } of plan.refusals) say(`in spite of this: ${why}`);
  const reading: Reading = { layers, journalFrom: plan.journalFrom, atMs: ask.atMs, scope: ask.scope };
  const survey = !isEmpty || dryRun ? await look(scene, reading, wanted, isEmpty) : undefined;
  if (survey?.ending) return survey.ending;
  const counts = survey?.counts ?? NO_COUNTS;
  const isMending = !isEmpty && counts.filled + counts.replaced === 0;
  const question = isMending
    ? `${wanted.name}: mend ${counts.mended} records of ${target.name}, which stays open, because "${wanted.reason}"?`
    : `${wanted.name}: close ${target.name}, restore ${scopeInWords(ask.scope)} as of ${iso(untilMs)} into it${isEmpty ? ', which is empty' : ''}, and let every client send again what it keeps, because "${wanted.reason}"?`;
  if (!(await ports.agree(question)))
    return { ending: ports.interrupted.aborted ? 'interrupted' : 'declined', why: 'nothing was changed' };
  const saved = firstState({
    id,
    ask,
    reason: wanted.reason,
    mode: isEmpty ? 'load' : 'repair',
    chain: plan.chain.map(({ source, prefix, backup: { exportArn } }) => ({ source, prefix, exportArn })),
    ...(plan.journalFrom !== undefined && { journalFrom: plan.journalFrom }),
    untilMs,
    overridden: plan.refusals.map(({ why }) => why),
    startedAtMs,
    epochBefore: generation?.restoreEpoch ?? 0,
    wasOpen: generation?.isOpen ?? false,
  });
  const missed = await new RestoreArchive(places.archives, saved.id).begun({ table: target.name, ...saved });
  for (const { region, why } of missed)
    ports.say({ step: 'record', says: `the audit bucket of ${region} has no record of it: ${why}` });
  if (isMending) return await mend(scene, reading, saved);
  return closing(scene, await restoreClosed(scene, saved, layers, { revision, begins: true }));
}

/** What there would be to do; `ending` when there is nothing more to be done than to say it. */
async function look(
  scene: Scene,
  reading: Reading,
  { ask, dryRun, force }: Undertaking,
  isEmpty: boolean,
): Promise<{ readonly counts: RepairCounts; readonly ending?: Result }> {
  const { ports } = scene;
  const say = (says: string) => ports.say({ step: 'look', says });
  const read = await readJournals(scene, reading);
  if (read.facts) say(journalLine(read.facts));
  const [lost] = read.lost;
  if (lost && !force)
    return {
      counts: NO_COUNTS,
      ending: {
        ending: 'refused',
        why: `${read.lost.length} journal segments are damaged and no other journal has them: ${lost.key} in ${lost.source}: ${lost.why} (--force does it all the same)`,
      },
    };
  const sink = isEmpty
    ? undefined
    : repairSink(scene, { writes: 'nothing', overwrite: ask.overwrite, keep: async () => undefined });
  const gone = await goOver(scene, reading, read, {
    sink: sink ?? countingSink(ports.interrupted),
    done: new Set(),
    onFile: async () => undefined,
  });
  const counts = sink?.counts ?? { ...NO_COUNTS, filled: gone.facts.records };
  const words = `${countsInWords(counts, 'would')}${missingInWords(gone)}`;
  say(words);
  const { notFound } = gone;
  const facts = { facts: gone.facts, counts, notFound };
  if (dryRun)
    return { counts, ending: { ending: 'dry_run', why: `nothing was changed: ${words}`, ...facts } };
  if (counts.mended + counts.filled + counts.replaced > 0) return { counts };
  const ending = notFound.length > 0 ? 'not_all' : 'nothing';
  return { counts, ending: { ending, why: `nothing is to be restored: ${words}`, ...facts } };
}

function missingInWords({ notFound }: Gone): string {
  return notFound.length === 0 ? '' : `; no backup and no journal has ${notFound.join(', ')}`;
}

/** The table stays open: what is written leaves every state what it is. */
async function mend(scene: Scene, reading: Reading, { id }: Saved): Promise<Result> {
  const { places, ports } = scene;
  const sink = repairSink(scene, { writes: 'mends', overwrite: false, keep: async () => undefined });
  const gone = await goOver(scene, reading, await readJournals(scene, reading), {
    sink,
    done: new Set(),
    onFile: async () => undefined,
  });
  const { counts } = sink;
  const isAll = sink.agrees && counts.filled + counts.replaced === 0;
  const why = isAll
    ? `${countsInWords(counts, 'did')}; the table was open all the while`
    : sink.agrees
      ? `${counts.filled + counts.replaced} records changed meanwhile so that they cannot be mended while the table is open: run it again`
      : 'what was mended was not read back as it was: look at the other Regions’ replicas';
  await new RestoreArchive(places.archives, id).ended({
    format: 1,
    id,
    outcome: isAll ? 'mended' : 'not_all',
    why,
    ...gone.facts,
    counts,
    endedAtMs: ports.now(),
  });
  const { facts, notFound } = gone;
  return {
    ending: isAll && notFound.length === 0 ? 'mended' : 'not_all',
    why: `${why}${missingInWords(gone)}`,
    facts,
    counts,
    notFound,
  };
}

async function goOn(
  scene: Scene,
  { name, here }: Undertaking,
  saved: Saved,
  revision: number,
): Promise<Result> {
  const { ports, target, places } = scene;
  const { ask, startedAtMs, done } = saved;
  const files = Object.values(done).flat().length;
  ports.say({
    step: 'plan',
    says: `${underWay(saved, target.name)}; ${files} files are done, ${lasting(ports.now() - startedAtMs)} ago it began`,
  });
  const layers: readonly Layer[] = await reopen(places.sources, saved);
  if (!(await ports.agree(`${name}: go on restoring ${scopeInWords(ask.scope)} into ${target.name}?`)))
    return { ending: ports.interrupted.aborted ? 'interrupted' : 'declined', why: 'nothing was changed' };
  return closing(scene, await restoreClosed(scene, saved, layers, { revision, begins: false, here }));
}

/** Clients must not think that nothing happened: the epoch rises all the same. */
async function giveUp(
  { ports, target, places }: Scene,
  { name, reason }: Undertaking,
  { id, epochBefore, mode }: Saved,
  revision: number,
): Promise<Result> {
  const risk =
    mode === 'load' ? 'as far as it was loaded; what is missing stays missing' : 'as far as it was repaired';
  if (!(await ports.agree(`${name}: open ${target.name} ${risk}, because "${reason}"?`)))
    return { ending: 'declined', why: 'nothing was changed' };
  const generation = await target.generation();
  const restoreEpoch = Math.max((generation?.restoreEpoch ?? epochBefore) + 1, ports.now());
  if (generation?.restoreId === id && !(await target.unshut(id, restoreEpoch)))
    return { ending: 'refused', why: `somebody else has changed ${target.name} meanwhile: look again` };
  await new RestoreArchive(places.archives, id).ended({
    format: 1,
    id,
    outcome: 'given_up',
    why: reason,
    endedAtMs: ports.now(),
  });
  await target.save(undefined, revision);
  return { ending: 'opened', why: `${target.name} is open ${risk}`, restoreEpoch };
}

function closing({ target }: Scene, restored: Restored): Result {
  const missing = restored.notFound ?? [];
  if (restored.ending !== 'restored' || missing.length === 0) return restored;
  return {
    ...restored,
    ending: 'not_all',
    why: `${target.name} is open; no backup and no journal has ${missing.join(', ')}`,
  };
}

function refusalsInWords({ refusals }: RestorePlan): string {
  return refusals.map(({ why }) => why).join('; ');
}

/** E.g. `2026-11-24T130501Z-1a2b3c4d`. */
function idAt(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '')}Z-${randomBytes(4).toString('hex')}`;
}
