// How far a restore is: items, items per second, time left. On a terminal as a bar that is drawn over itself, else as a
// line now and then.
import { lasting } from '../routing/words.ts';

const BAR_CHARACTERS = 24;
const DRAWN_EVERY_MS = 500;
const SAID_EVERY_MS = 10_000;
/** Over the last so many looks, so that what was slow an hour ago says nothing of what is left. */
const LOOKS = 20;

export interface ProgressReport {
  readonly done: number;
  /** At least {@link done}. */
  readonly total: number;
  readonly itemsPerS: number;
  /** Undefined while nothing moves. */
  readonly leftMs: number | undefined;
}

export class Progress {
  readonly #total: number;
  readonly #now: () => number;
  readonly #looks: { readonly at: number; readonly done: number }[];
  #done = 0;

  /** `now`: ms of any clock. */
  constructor(total: number, now: () => number) {
    this.#total = total;
    this.#now = now;
    this.#looks = [{ at: now(), done: 0 }];
  }

  add(count: number): void {
    this.#done += count;
  }

  look(): ProgressReport {
    const at = this.#now();
    const [first] = this.#looks;
    const spanMs = first ? at - first.at : 0;
    const itemsPerS = first && spanMs > 0 ? ((this.#done - first.done) / spanMs) * 1_000 : 0;
    this.#looks.push({ at, done: this.#done });
    if (this.#looks.length > LOOKS) this.#looks.shift();
    const total = Math.max(this.#total, this.#done);
    const leftMs = itemsPerS > 0 ? ((total - this.#done) / itemsPerS) * 1_000 : undefined;
    return { done: this.#done, total, itemsPerS, leftMs };
  }
}

export function barOf({ done, total, itemsPerS, leftMs }: ProgressReport): string {
  const share = total === 0 ? 1 : done / total;
  const filled = Math.round(share * BAR_CHARACTERS);
  const bar = '#'.repeat(filled).padEnd(BAR_CHARACTERS, '.');
  const left = leftMs === undefined ? 'no end in sight' : `${lasting(leftMs)} left`;
  return `[${bar}] ${(share * 100).toFixed(1).padStart(5)} %  ${done} of ${total} items  ${Math.round(itemsPerS)}/s  ${left}`;
}

/** Shows it for as long as `work` lasts. */
export async function shown<T>(
  progress: Progress,
  { json, say }: { readonly json: boolean; readonly say: (report: ProgressReport) => void },
  work: () => Promise<T>,
): Promise<T> {
  const draws = !json && process.stderr.isTTY;
  const show = () => {
    const report = progress.look();
    if (draws) process.stderr.write(`\r${barOf(report)}\u001b[K`);
    else say(report);
  };
  const timer = setInterval(show, draws ? DRAWN_EVERY_MS : SAID_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    if (draws) process.stderr.write('\r\u001b[K');
    say(progress.look());
  }
}
