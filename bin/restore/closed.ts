// The part of a restore during which the table is closed (PROTOCOL 8.1): close, wait until nothing admitted before can
// land, load, compare, raise the epoch and open. Whatever ends it in between leaves the table closed and says how to go
// on; only where nothing was written yet it is opened again as it was.
import { DigestSum } from '../../protocol/digest-sums.ts';
import { CLOSED_MS_MIN } from '../../protocol/limits.ts';
import { plus, type UnitFacts } from '../../protocol/reading-layers.ts';
import { lasting } from '../routing/words.ts';
import { RestoreArchive } from './archive.ts';
import { addContent, copyOf } from './examine.ts';
import type { Layer } from './inventory.ts';
import { journalsBehind } from './journals.ts';
import { type Saved, SavedRestore, unitsDone } from './saved.ts';
import { addCounts, loadSink, NO_COUNTS, type RepairCounts } from './sinks.ts';
import { countsInWords, journalLine } from './words.ts';
import {
  CountsSince,
  type Gone,
  goOver,
  type Reading,
  readJournals,
  repairSink,
  type Scene,
  type Step,
  workersOf,
} from './work.ts';

export interface Restored {
  readonly ending: 'restored' | 'refused' | 'interrupted' | 'not_equal';
  readonly why: string;
  readonly restoreEpoch?: number;
  readonly facts?: UnitFacts;
  readonly counts?: RepairCounts;
  readonly notFound?: readonly string[];
}

/** How long journals are waited for; they are behind by a batch of 10 s at most when all is well. */
const JOURNAL_WAIT_MS = 90_000;
const LOOK_EVERY_MS = 2_000;

/** `revision`: of what is saved, 0 when nothing ever was. `begins`: it is saved for the first time. `here`: nothing is left
 * to workers. */
export async function restoreClosed(
  scene: Scene,
  saved: Saved,
  layers: readonly Layer[],
  {
    revision,
    begins,
    here = false,
  }: { readonly revision: number; readonly begins: boolean; readonly here?: boolean },
): Promise<Restored> {
  const run = new ClosedRun(scene, new SavedRestore(scene.target, saved, revision), layers, here);
  return await run.go(begins);
}

class ClosedRun {
  readonly #scene: Scene;
  readonly #saved: SavedRestore;
  readonly #layers: readonly Layer[];
  /** What runs before this one did. */
  readonly #before: UnitFacts;
  readonly #here: boolean;
  #loading = false;

  constructor(scene: Scene, saved: SavedRestore, layers: readonly Layer[], here: boolean) {
    this.#scene = scene;
    this.#saved = saved;
    this.#layers = layers;
    this.#here = here;
    this.#before = saved.now.facts;
  }

  async go(begins: boolean): Promise<Restored> {
    const { ports } = this.#scene;
    if (begins) await this.#saved.begin();
    try {
      if (await this.#isOpenedAlready())
        return await this.#end({ ending: 'restored', why: 'it was opened already' });
      await this.#shut();
      await this.#wait();
      return ports.interrupted.aborted
        ? await this.#stopped('interrupted by the operator')
        : await this.#load();
    } catch (error) {
      if (ports.interrupted.aborted) return await this.#stopped('interrupted by the operator');
      ports.say({ step: 'close', says: `${this.#scene.target.name} stays closed. ${HOW_TO_GO_ON}` });
      throw error;
    }
  }

  /** Whoever was here before got as far as opening it. */
  async #isOpenedAlready(): Promise<boolean> {
    const generation = await this.#scene.target.generation();
    return generation?.isOpen === true && generation.restoreEpoch > this.#saved.now.epochBefore;
  }

  async #shut(): Promise<void> {
    const { target } = this.#scene;
    const { id } = this.#saved.now;
    const generation = await target.generation();
    if (generation?.restoreId === id) return;
    if (!(await target.shut(generation, id)))
      throw new Error(
        `${target.name}: expected nobody else to open or close it, somebody did; look with npm run status`,
      );
    this.#say('close', `${target.name} is closed`);
  }

  /**
   * From the last moment it can have been open. A table that has just lost everything knows no more of having been open
   * than a new one, and functions may still be writing into it by a copy that is 5 s old: both are waited for.
   */
  async #wait(): Promise<void> {
    const { ports, places } = this.#scene;
    const { wasOpen, epochBefore, ask } = this.#saved.now;
    const wasClosed = !wasOpen && epochBefore > 0;
    if (wasClosed || ask.into !== undefined) return;
    this.#say('close', `waiting ${lasting(CLOSED_MS_MIN)} for what was admitted before`);
    await ports.sleep(CLOSED_MS_MIN);
    if (ask.atMs !== undefined) return;
    const closedAtMs = ports.now();
    for (let waitedMs = 0; !ports.interrupted.aborted; waitedMs += LOOK_EVERY_MS) {
      const behind = await journalsBehind(places.sources, closedAtMs);
      if (behind.length === 0) return;
      if (waitedMs === 0) this.#say('close', `waiting for the journals of ${behind.join(', ')}`);
      if (waitedMs >= JOURNAL_WAIT_MS) {
        this.#say(
          'close',
          `the journals of ${behind.join(', ')} say nothing for ${lasting(waitedMs)}: going on without`,
        );
        return;
      }
      await ports.sleep(LOOK_EVERY_MS);
    }
  }

  async #load(): Promise<Restored> {
    const { target, stamps, through, force, ports, places } = this.#scene;
    const { ask, mode, journalFrom, id } = this.#saved.now;
    const workers = ask.workers && !this.#here ? workersOf(this.#scene, this.#saved.now) : undefined;
    const reading: Reading = { layers: this.#layers, journalFrom, atMs: ask.atMs, scope: ask.scope };
    const read = await readJournals(this.#scene, reading);
    if (read.facts) this.#say('load', journalLine(read.facts));
    const [lost] = read.lost;
    if (lost && !force)
      return await this.#stopped(
        `${read.lost.length} journal segments are damaged and no other journal has them: ${lost.key} in ${lost.source}: ${lost.why} (--force does it all the same)`,
        'refused',
      );
    this.#loading = true;
    const archive = new RestoreArchive(places.archives, id);
    const repair =
      mode === 'repair'
        ? repairSink(this.#scene, {
            writes: 'all',
            overwrite: ask.overwrite,
            keep: (it) => archive.replaced(it),
          })
        : undefined;
    const since = repair && new CountsSince(repair);
    const gone = await goOver(this.#scene, reading, read, {
      sink: repair ?? loadSink({ target, stamps, through, interrupted: ports.interrupted }),
      done: unitsDone(this.#saved.now),
      onFile: (prefix, index, facts) => this.#saved.unitDone(prefix, index, facts, since?.take()),
      workers,
    });
    const facts = plus(this.#before, gone.facts);
    const counts = addCounts(this.#saved.now.counts, since?.take() ?? NO_COUNTS);
    const unequal = repair
      ? repair.agrees
        ? undefined
        : 'what was written was not read back as it was'
      : await this.#whyUnequal(facts);
    const odd = unequal ?? this.#whyNotTheChain(facts, gone);
    if (odd !== undefined) {
      await this.#saved.startOver();
      const why = `${odd}. ${target.name} stays closed. ${HOW_TO_GO_ON}`;
      return { ending: 'not_equal', why, facts, counts };
    }
    const is = repair ? countsInWords(counts, 'did') : `${facts.records} records, digest ${facts.digest}`;
    this.#say('compare', `what is there is what was to be: ${is}`);
    for (const why of gone.problems.slice(0, PROBLEMS_SHOWN)) this.#say('compare', `passed over: ${why}`);
    const restoreEpoch = await this.#open();
    return await this.#end({
      ending: 'restored',
      why: `${target.name} is open under restore epoch ${restoreEpoch}; clients send again what they keep`,
      restoreEpoch,
      facts,
      counts,
      notFound: gone.notFound,
    });
  }

  /** Counts and digest of the whole table, every payload hashed, against what was to be. */
  async #whyUnequal({ records, digest }: UnitFacts): Promise<string | undefined> {
    const sum = new DigestSum();
    let [found, damaged] = [0, 0];
    await this.#scene.target.scan((items) => {
      for (const item of items) {
        found += 1;
        const copy = copyOf(item);
        if (copy.kind === 'whole') addContent(sum, copy.record);
        else damaged += 1;
      }
    });
    if (found === records && damaged === 0 && sum.toString() === digest) return undefined;
    return `expected ${records} records of digest ${digest}, got ${found} of ${sum.toString()}, ${damaged} of them damaged`;
  }

  /** Against what the verification found of the same backups, journals aside. */
  #whyNotTheChain({ chainRecords, chainDigest }: UnitFacts, { problems }: Gone): string | undefined {
    const verdict = this.#layers.at(-1)?.known.verdict;
    if (verdict?.verdict !== 'verified' || problems.length > 0) return undefined;
    if (this.#saved.now.ask.scope.kind !== 'all') return undefined;
    const { records, digest } = verdict.state;
    if (records === chainRecords && digest === chainDigest) return undefined;
    return `expected the ${records} records of digest ${digest} that ${verdict.prefix} was verified with, read ${chainRecords} of ${chainDigest}`;
  }

  /** PROTOCOL 8.1; above every commit version that was stamped. */
  async #open(): Promise<number> {
    const { target, stamps, ports } = this.#scene;
    const { id, epochBefore } = this.#saved.now;
    const restoreEpoch = Math.max(epochBefore + 1, ports.now(), stamps.lastMs);
    if (!(await target.unshut(id, restoreEpoch)))
      throw new Error(`${target.name}: expected to be closed by this restore, somebody else has changed it`);
    this.#say('open', `${target.name} is open, restore epoch ${restoreEpoch}`);
    return restoreEpoch;
  }

  async #end(restored: Restored): Promise<Restored> {
    const { places, ports } = this.#scene;
    const { id } = this.#saved.now;
    const { facts, counts, restoreEpoch, why } = restored;
    const record = {
      format: 1,
      id,
      outcome: restored.ending,
      why,
      restoreEpoch,
      ...facts,
      counts,
      endedAtMs: ports.now(),
    };
    const missed = await new RestoreArchive(places.archives, id)
      .ended(record)
      .catch((error: Error) => [{ region: 'every Region', why: error.message }]);
    for (const { region, why: reason } of missed)
      this.#say('record', `the audit bucket of ${region} has no record of the end: ${reason}`);
    await this.#saved.end();
    return restored;
  }

  /** Open again as it was, where nothing was written; else it stays closed. */
  async #stopped(why: string, ending: 'interrupted' | 'refused' = 'interrupted'): Promise<Restored> {
    const { target } = this.#scene;
    const { id, wasOpen, epochBefore, done } = this.#saved.now;
    const isUntouched = !this.#loading && Object.keys(done).length === 0;
    if (!isUntouched) return { ending, why: `${why}; ${target.name} stays closed. ${HOW_TO_GO_ON}` };
    if (wasOpen && (await target.unshut(id, epochBefore)))
      this.#say('open', `${target.name} is open as it was: nothing was written`);
    await this.#saved.end();
    return { ending, why: `${why}; nothing was changed` };
  }

  #say(step: Step['step'], says: string): void {
    this.#scene.ports.say({ step, says });
  }
}

const PROBLEMS_SHOWN = 10;
export const HOW_TO_GO_ON =
  'Go on with npm run restore -- --resume, or open it as it is with --give-up --reason "…"';
