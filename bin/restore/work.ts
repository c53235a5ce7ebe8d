// One going-over of everything in scope: read the journals for what is last, then hand every record on to a sink.
import type { ExportedItem } from '../../protocol/export-files.ts';
import { recordPk } from '../../protocol/items.ts';
import { NO_FACTS, plus, type UnitFacts } from '../../protocol/reading-layers.ts';
import type { Wanted } from '../../protocol/restored-items.ts';
import {
  type DamagedSegment,
  JOURNAL_SKEW_MS,
  notCovered,
  type Scope,
  scopeTest,
} from '../../protocol/restoring.ts';
import type { Layer } from './inventory.ts';
import { type JournalFacts, Journals } from './journals.ts';
import type { Places } from './places.ts';
import { Progress, type ProgressReport, shown } from './progress.ts';
import type { TaskQueue } from './queue.ts';
import type { Saved } from './saved.ts';
import { addCounts, NO_COUNTS, type RepairCounts, RepairSink, type SinkParts } from './sinks.ts';
import { JOURNAL_UNIT, restoreStates, type Sink } from './states.ts';
import type { Target } from './target.ts';
import { Workers } from './workers.ts';

export interface Step {
  readonly step: 'plan' | 'look' | 'close' | 'load' | 'progress' | 'compare' | 'open' | 'record';
  readonly says: string;
}

/** What the run is given from outside. */
export interface Ports {
  /** Unix ms. */
  now(): number;
  /** Resolves after so many ms, or at once when interrupted. */
  sleep(ms: number): Promise<unknown>;
  say(step: Step & Partial<ProgressReport>): void;
  /** Asks whoever is there. */
  agree(question: string): Promise<boolean>;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
  readonly json: boolean;
}

/** Everything a restore has at hand. */
export interface Scene extends Pick<SinkParts, 'stamps' | 'through'> {
  readonly places: Places;
  readonly target: Target;
  readonly lanes: number;
  readonly force: boolean;
  readonly ports: Ports;
  /** Regions that have a restore function, and its queue in each. */
  readonly functions: {
    readonly regions: readonly string[];
    readonly queueIn: (region: string) => TaskQueue;
  };
}

/** Those of one restore, whose scope is all that is asked for. */
export function workersOf(
  { functions, force, stamps, ports }: Scene,
  { id, ask }: Pick<Saved, 'id' | 'ask'>,
): Workers {
  const { queueIn } = functions;
  return new Workers({ queueIn, restoreId: id, scope: ask.scope, forced: force, stamps, ports });
}

export interface Reading {
  readonly layers: readonly Layer[];
  readonly journalFrom: string | undefined;
  /** Unix ms; undefined: the latest state. */
  readonly atMs: number | undefined;
  readonly scope: Scope;
}

export interface ReadJournals {
  readonly journals: Journals | undefined;
  readonly changes: number;
  readonly facts: JournalFacts | undefined;
  /** That no other journal makes up for. */
  readonly lost: readonly DamagedSegment[];
}

/** A moment in the future as far as clocks can differ, so that of the latest state nothing is left out. */
const LATEST_AHEAD_MS = 12 * JOURNAL_SKEW_MS;

export async function readJournals({ places, ports }: Scene, reading: Reading): Promise<ReadJournals> {
  const { journalFrom, atMs, scope } = reading;
  if (journalFrom === undefined) return { journals: undefined, changes: 0, facts: undefined, lost: [] };
  const untilMs = atMs ?? ports.now() + LATEST_AHEAD_MS;
  const journals = new Journals(places.sources, { from: journalFrom, untilMs }, scopeTest(scope));
  const facts = await journals.read(() => ports.interrupted.throwIfAborted());
  return { journals, changes: facts.changes, facts, lost: notCovered(facts.damaged, facts.hours) };
}

export interface Going {
  readonly sink: Sink;
  readonly done: ReadonlySet<string>;
  /** After each data file; not for the journals, which are done anew when a restore goes on. */
  readonly onFile: (prefix: string, index: number, facts: UnitFacts) => Promise<void>;
  /** Whoever reads the full backup instead of this machine. */
  readonly workers?: Workers | undefined;
}

export interface Gone {
  /** Of what was done this time. */
  readonly facts: UnitFacts;
  /** Those of a scope of records that no backup and no journal has. */
  readonly notFound: readonly string[];
  /** Lines that were passed over, by force. */
  readonly problems: readonly string[];
}

export async function goOver(
  scene: Scene,
  reading: Reading,
  { journals, changes }: ReadJournals,
  { sink, done, onFile, workers }: Going,
): Promise<Gone> {
  const { ports, lanes, force } = scene;
  const layers = layersNeeded(reading, journals);
  const total = changes + layers.reduce((sum, { summary }) => sum + summary.itemCount, 0);
  const progress = new Progress(total, () => performance.now());
  const wantedPks = new Set(reading.scope.kind === 'records' ? reading.scope.records.map(recordPk) : []);
  let facts = NO_FACTS;
  const problems: string[] = [];
  const noted: Sink = {
    batchMax: sink.batchMax,
    async put(batch: readonly Wanted[]) {
      for (const { record } of wantedPks.size > 0 ? batch : []) wantedPks.delete(recordPk(record.key));
      await sink.put(batch);
    },
  };
  const onProblem = (why: string) => void problems.push(why);
  const onItems = (count: number) => {
    progress.add(count);
    ports.interrupted.throwIfAborted();
  };
  const say = (report: ProgressReport) =>
    ports.say({ step: 'progress', says: progressInWords(report), ...report });
  await shown(progress, { json: ports.json, say }, () =>
    restoreStates(noted, {
      layers,
      journals,
      scope: scopeTest(reading.scope),
      lanes,
      forced: force,
      done,
      onItems,
      onProblem,
      ...(workers && { elsewhere: (oldest) => workers.load(oldest, { onItems, onProblem }) }),
      async onUnit(name, unit) {
        facts = plus(facts, unit);
        if (name === JOURNAL_UNIT) return;
        const at = name.lastIndexOf('#');
        await onFile(name.slice(0, at), Number(name.slice(at + 1)), unit);
      },
    }),
  );
  return { facts, notFound: [...wantedPks], problems };
}

/** Where the journals have a later state of every record that is asked for, no backup has to be read for them. */
function layersNeeded({ layers, scope }: Reading, journals: Journals | undefined): readonly Layer[] {
  if (scope.kind !== 'records' || !journals) return layers;
  const heldMs = (layers.at(-1)?.summary.toMs ?? 0) + JOURNAL_SKEW_MS;
  const isLater = scope.records.every((key) => {
    const at = journals.index.find(recordPk(key));
    return at !== undefined && journals.index.msAt(at) > heldMs;
  });
  return isLater ? [] : layers;
}

function progressInWords({ done, total, itemsPerS }: ProgressReport): string {
  return `${done} of ${total} items, ${Math.round(itemsPerS)}/s`;
}

/** A sink of its own for each data file's counts is not needed: what a sink has done since the last look is the file's. */
export class CountsSince {
  readonly #sink: RepairSink;
  #seen: RepairCounts = NO_COUNTS;

  constructor(sink: RepairSink) {
    this.#sink = sink;
  }

  take(): RepairCounts {
    const { counts } = this.#sink;
    const { kept, mended, filled, replaced } = this.#seen;
    this.#seen = counts;
    return addCounts(counts, { kept: -kept, mended: -mended, filled: -filled, replaced: -replaced });
  }
}

/** Counts, and writes nothing. */
export function countingSink(interrupted: AbortSignal): Sink {
  return {
    batchMax: 1_000,
    async put() {
      interrupted.throwIfAborted();
    },
  };
}

export function repairSink(
  { target, stamps, through, ports }: Scene,
  options: {
    readonly writes: 'nothing' | 'mends' | 'all';
    readonly overwrite: boolean;
    readonly keep: (items: readonly ExportedItem[]) => Promise<void>;
  },
): RepairSink {
  return new RepairSink({ target, stamps, through, interrupted: ports.interrupted }, options);
}
