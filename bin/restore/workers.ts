// The full backup's files read by the restore function instead of here: tasks into its queue, what they came to out of
// the bucket the backup is in. Which record is whose last state the index of what is newer decides, which is put beside
// the results; so a task means the same whoever does it, whenever and however often, and the sum of them is what reading
// the files here would have come to.
import type { ExportFile } from '../../protocol/export-files.ts';
import { NO_FACTS, plus, type UnitFacts } from '../../protocol/reading-layers.ts';
import type { Stamps } from '../../protocol/restore-stamps.ts';
import {
  failureKey,
  indexFingerprint,
  indexKey,
  indexToBytes,
  parseTask,
  type RestoreTask,
  type RestoreTaskResult,
  resultKey,
  resultsPrefix,
} from '../../protocol/restore-work.ts';
import type { Scope } from '../../protocol/restoring.ts';
import { lasting } from '../routing/words.ts';
import type { Layer } from './inventory.ts';
import { eachAtOnce } from './lanes.ts';
import type { TaskQueue } from './queue.ts';
import type { OldestLayer } from './states.ts';
import type { Ports } from './work.ts';

export interface WorkersOptions {
  /** Of a Region's restore function. */
  readonly queueIn: (region: string) => TaskQueue;
  readonly restoreId: string;
  readonly scope: Scope;
  readonly forced: boolean;
  readonly stamps: Pick<Stamps, 'stampedElsewhere'>;
  readonly ports: Pick<Ports, 'now' | 'sleep' | 'say' | 'interrupted'>;
  /** Lines of a data file that become one task, more of large ones. @default 20000 */
  readonly linesPerTask?: number;
}

export interface Loading {
  /** Lines read. */
  readonly onItems: (count: number) => void;
  /** Of the lines that were passed over. */
  readonly onProblem: (why: string) => void;
}

/** Half a minute of work or so. Whoever has the last of a file's tasks unpacks all that is before it, so that there are not
 * too many of one file; one that takes too long is divided when it does. */
const LINES_PER_TASK = 20_000;
const TASKS_PER_FILE_MAX = 50;
const LOOK_EVERY_MS = 2_000;
const RESULTS_AT_ONCE = 16;
/** Longer than the function may take for a task: by then whoever had one is gone, and its queue would show it to another
 * only much later. Doing it twice does no harm. */
const QUIET_MS = 360_000;
const SENT_TIMES_MAX = 3;

interface FileUnderWay {
  readonly itemCount: number;
  facts: UnitFacts;
  readonly beats: string[];
  done: number;
}

export class Workers {
  readonly #options: WorkersOptions;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /**
   * Loads the full backup.
   * @throws {Error} a task failed too often, or nobody does any; names the file
   */
  async load(oldest: OldestLayer, { onItems, onProblem }: Loading): Promise<void> {
    const { restoreId, stamps } = this.#options;
    const { layer } = oldest;
    const index = indexFingerprint(oldest);
    if (index !== undefined)
      await layer.bucket.put(indexKey(restoreId, index), indexToBytes(oldest), 'application/octet-stream');
    const files = layer.files.map(
      ({ itemCount }): FileUnderWay => ({ itemCount, facts: NO_FACTS, beats: [], done: 0 }),
    );
    for (const [at, { itemCount }] of files.entries())
      if (itemCount === 0) await oldest.done(at, NO_FACTS, []);
    await this.#carryOut(layer, this.#loadTasks(layer, index), {
      take: async (task, result) => {
        const file = files[task.fileIndex] as FileUnderWay;
        file.facts = plus(file.facts, result.facts);
        for (const pk of result.beats) file.beats.push(pk);
        file.done += result.to - task.from;
        onItems(result.to - task.from);
        for (const why of result.problems) onProblem(why);
        stamps.stampedElsewhere(result.stampedMs);
        if (file.done === file.itemCount) await oldest.done(task.fileIndex, file.facts, file.beats);
        return result.to < task.to ? [{ ...task, from: result.to }] : [];
      },
      // Done with an index that was another: what such a file says of the journals is read here.
      leave: async (missing) => {
        const done = missing.filter(({ fileIndex }) => oldest.isDone(fileIndex));
        for (const fileIndex of new Set(done.map((it) => it.fileIndex))) await oldest.again(fileIndex);
        return done;
      },
    });
  }

  /** What is wrong with a file of a backup; undefined: every file is what its manifest says. */
  async look(layer: Layer): Promise<string | undefined> {
    const found: string[] = [];
    const set = layer.known.prefix.replaceAll('/', '_');
    const tasks = layer.files.map(({ itemCount: to }, fileIndex) =>
      this.#task(layer, { what: 'look', set, fileIndex, from: 0, to }),
    );
    await this.#carryOut(layer, tasks, {
      take: async (_, { rot }) => {
        if (rot !== undefined) found.push(rot);
        return [];
      },
      leave: async () => [],
    });
    return found.sort()[0];
  }

  #loadTasks(layer: Layer, index: string | undefined): readonly RestoreTask[] {
    const { linesPerTask = LINES_PER_TASK } = this.#options;
    const set = index ?? 'alone';
    return layer.files.flatMap(({ itemCount }, fileIndex) => {
      const lines = Math.max(linesPerTask, Math.ceil(itemCount / TASKS_PER_FILE_MAX));
      return Array.from({ length: Math.ceil(itemCount / lines) }, (_, at) => {
        const from = at * lines;
        const to = Math.min(itemCount, from + lines);
        return this.#task(layer, { what: 'load', set, fileIndex, from, to, ...(index && { index }) });
      });
    });
  }

  #task(
    { files, summary: { toMs } }: Layer,
    part: Pick<RestoreTask, 'what' | 'set' | 'fileIndex' | 'from' | 'to' | 'index'>,
  ): RestoreTask {
    const { restoreId, scope, forced } = this.#options;
    return { format: 1, restoreId, file: files[part.fileIndex] as ExportFile, toMs, scope, forced, ...part };
  }

  /** Until every task has its result; those of an earlier run count. */
  async #carryOut(layer: Layer, tasks: readonly RestoreTask[], { take, leave }: Course): Promise<void> {
    const { queueIn, ports } = this.#options;
    const [first] = tasks;
    if (!first) return;
    const queue = queueIn(layer.known.source);
    const missing = new Map(tasks.map((task) => [resultKey(task), task]));
    const send = (some: Iterable<RestoreTask>) => queue.send(Array.from(some, (it) => JSON.stringify(it)));
    const collect = async () => {
      const listed = await Array.fromAsync(layer.bucket.keys(resultsPrefix(first)));
      const found = listed.filter((key) => missing.has(key));
      const rest: RestoreTask[] = [];
      await eachAtOnce(found, RESULTS_AT_ONCE, async (key) => {
        const [task, text] = [missing.get(key), await layer.bucket.text(key)];
        if (!task || text === undefined) return;
        missing.delete(key);
        rest.push(...(await take(task, JSON.parse(text) as RestoreTaskResult)));
      });
      for (const task of rest) missing.set(resultKey(task), task);
      return { found: found.length, rest };
    };
    while ((await collect()).found > 0) ports.interrupted.throwIfAborted();
    for (const task of await leave([...missing.values()])) missing.delete(resultKey(task));
    await send(missing.values());
    let [heardMs, sentTimes] = [ports.now(), 1];
    while (missing.size > 0) {
      ports.interrupted.throwIfAborted();
      await this.#refusePutAside(queue, layer, missing);
      const { found, rest } = await collect();
      await send(rest);
      if (found > 0) [heardMs, sentTimes] = [ports.now(), 1];
      else if (ports.now() - heardMs >= QUIET_MS) {
        refuseSilence([...missing.values()], sentTimes);
        ports.say({
          step: 'load',
          says: `no worker has done anything for ${lasting(QUIET_MS)}: ${missing.size} tasks are sent again`,
        });
        await send(missing.values());
        [heardMs, sentTimes] = [ports.now(), sentTimes + 1];
      }
      if (missing.size > 0) await ports.sleep(LOOK_EVERY_MS);
    }
  }

  /** What failed so often that its queue has given it up. @throws {Error} names the file, and why it failed last */
  async #refusePutAside(
    queue: TaskQueue,
    { bucket }: Layer,
    missing: ReadonlyMap<string, RestoreTask>,
  ): Promise<void> {
    const { restoreId } = this.#options;
    const bodies = await queue.takeAside((body) => taskIn(body)?.restoreId === restoreId);
    const task = bodies
      .map((body) => ({ body, task: missing.get(resultKey(parseTask(body))) }))
      // What an earlier run had asked for otherwise, such as without passing anything over, is not waited for any more.
      .find((it) => it.task && JSON.stringify(it.task) === it.body)?.task;
    if (!task) return;
    const text = await bucket.text(failureKey(task));
    const failure = text === undefined ? undefined : (JSON.parse(text) as { readonly why: string });
    throw new Error(
      `${inWords(task)}: no worker could do it, however often it was tried: ${failure?.why ?? 'each ended without a word; its log says more'}`,
    );
  }
}

/** What is done with results. */
interface Course {
  /** Gives what is left of the task. */
  readonly take: (task: RestoreTask, result: RestoreTaskResult) => Promise<readonly RestoreTask[]>;
  /** Of those that have no result yet, the ones that nobody is to be given. */
  readonly leave: (missing: readonly RestoreTask[]) => Promise<readonly RestoreTask[]>;
}

function refuseSilence([first]: readonly RestoreTask[], sentTimes: number): void {
  if (first && sentTimes === SENT_TIMES_MAX)
    throw new Error(
      `${inWords(first)}: expected a worker to do it, none has said anything for ${lasting(QUIET_MS)} after it was sent ${sentTimes} times; is the restore function running?`,
    );
}

function taskIn(body: string): RestoreTask | undefined {
  try {
    return parseTask(body);
  } catch {
    return undefined;
  }
}

function inWords({ file: { key }, from, to }: RestoreTask): string {
  return `${key}, lines ${from + 1} to ${to}`;
}
