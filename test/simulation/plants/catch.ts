// Plays histories with a bug planted until an invariant breaks.
import { PlayerThread } from '../pool.ts';
import type { ProfileName } from '../profiles.ts';
import type { Plant } from './plant.ts';

export interface Catch {
  readonly plant: Plant;
  /** The invariant that broke; undefined when none did. */
  readonly invariant: string | undefined;
  readonly what: string;
  /** The history that caught it, and how many it took. */
  readonly seed: number | undefined;
  readonly histories: number;
}

const PIECE = 20;
/** A bug may make a history go round for ever; that is no invariant, and has to be looked at. */
const PIECE_MS_MAX = 120_000;

export async function catchPlant(plant: Plant, historiesMax: number, from = 0): Promise<Catch> {
  const thread = new PlayerThread(plant.mutations);
  let histories = 0;
  try {
    while (histories < historiesMax) {
      const count = Math.min(PIECE, historiesMax - histories);
      const task = { from: from + histories, count, profile: plant.profile ?? 'mixed' } as const;
      const { played, broken } = await within(PIECE_MS_MAX, thread.play(task));
      histories += played;
      if (!broken) continue;
      const { seed, violation } = broken;
      await refuteShipped(task.profile, seed);
      return { plant, invariant: violation.invariant, what: violation.what, seed, histories };
    }
    return { plant, invariant: undefined, what: 'every invariant held', seed: undefined, histories };
  } finally {
    await thread.end();
  }
}

/** The same history without the bug: what the shipped code breaks too proves nothing. */
async function refuteShipped(profile: ProfileName, seed: number): Promise<void> {
  const thread = new PlayerThread();
  try {
    const { broken } = await thread.play({ from: seed, count: 1, profile });
    if (broken)
      throw new Error(`${profile} ${seed} breaks without the bug too: ${broken.violation.invariant}`);
  } finally {
    await thread.end();
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${PIECE} histories took more than ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
