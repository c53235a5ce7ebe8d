// All chance in a history comes from one seed, through named streams, so that a history can be played again and a
// draw more in one place does not change what happens in the others.
import { seededRandom } from '../client/queue/seeded.ts';

export class Dice {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seededRandom(seed);
  }

  /** A stream of its own. */
  split(): Dice {
    return new Dice(this.whole(0, 2 ** 32 - 1));
  }

  /** 0 ≤ x < 1. */
  next(): number {
    return this.#next();
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  between(low: number, high: number): number {
    return low + this.#next() * (high - low);
  }

  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#next() * list.length)] as T;
  }

  /** A key of `weights`, as often as its weight says. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const entries = Object.entries(weights) as [Name, number][];
    let left = this.#next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    return (entries[0] as [Name, number])[0];
  }

  hex(bytes: number): string {
    let text = '';
    for (let left = bytes; left > 0; left -= 1) text += this.whole(0, 255).toString(16).padStart(2, '0');
    return text;
  }
}
