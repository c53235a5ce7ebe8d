// What has to be undone, in the order opposite to how it came about; also when starting stopped half way.

export class Cleanup {
  readonly #undo: (() => unknown)[] = [];
  #running: Promise<void> | undefined;

  /** Once running it has begun, something new is undone at once. */
  add(undo: () => unknown): void {
    if (this.#running) this.#running = this.#running.then(async () => void (await undo()));
    else this.#undo.push(undo);
  }

  /** Undoes everything once, however often it is called; goes on after a failure and throws the first at the end. */
  run(): Promise<void> {
    this.#running ??= this.#all();
    return this.#running;
  }

  async #all(): Promise<void> {
    const failures: unknown[] = [];
    for (const undo of this.#undo.reverse()) {
      try {
        await undo();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
