// A thread that plays histories, with a bug planted in what it loads where there is one.
import { parentPort, workerData } from 'node:worker_threads';
import type { Played } from './history.ts';
import { type Mutation, plant } from './mutation.ts';
import type { ProfileName } from './profiles.ts';

export interface WorkerData {
  readonly mutations: readonly Mutation[];
}

/** Histories `from` to `from + count - 1`; without a profile each has the one its seed draws. */
export interface Task {
  readonly from: number;
  readonly count: number;
  readonly profile: ProfileName | undefined;
}

export interface Report {
  readonly played: number;
  readonly operations: number;
  readonly conflicts: number;
  readonly restores: number;
  readonly crashes: number;
  readonly events: number;
  readonly virtualMs: number;
  /** The first that broke an invariant; what follows it was not played. */
  readonly broken:
    | {
        readonly seed: number;
        readonly profile: ProfileName;
        readonly violation: NonNullable<Played['violation']>;
      }
    | undefined;
}

const { mutations } = workerData as WorkerData;
const unused = plant(mutations);
// Errors are part of everyday life in here, and where they were made is of no interest.
Error.stackTraceLimit = 0;
const { play } = await import('./history.ts');
const { PROFILES, profileOf } = await import('./profiles.ts');
if (unused().length > 0) throw new Error(`planted in what no history loads: ${unused().join(', ')}`);

function run({ from, count, profile }: Task): Report {
  const totals = { played: 0, operations: 0, conflicts: 0, restores: 0, crashes: 0, events: 0, virtualMs: 0 };
  for (let seed = from; seed < from + count; seed += 1) {
    const name = profile ?? profileOf(seed);
    const played = play(seed, PROFILES[name]);
    totals.played += 1;
    for (const total of ['operations', 'conflicts', 'restores', 'crashes', 'events', 'virtualMs'] as const)
      totals[total] += played[total];
    if (played.violation) return { ...totals, broken: { seed, profile: name, violation: played.violation } };
  }
  return { ...totals, broken: undefined };
}

// Histories start from the event loop (scheduler.ts), and so does a message's handler.
parentPort?.on('message', (task: Task) => {
  parentPort?.postMessage(run(task));
});
