// The runner's side of the load process: starts it, watches it, asks things of it.
import type { Children } from '../../supervisor/children.ts';
import { DrillError } from '../system.ts';
import type { FromLoad, LoadOptions, MissingWrite, Progress, ToLoad } from './load-messages.ts';

/** All of a drill's load processes use one set of children, so that none is left behind. */
export class LoadProcess {
  readonly #send: (message: ToLoad) => void;
  readonly #end: () => Promise<void>;
  readonly #waiting = new Map<FromLoad['type'], (message: FromLoad) => void>();
  #listener: (progress: Progress) => void = () => undefined;
  #fail: (error: Error) => void = () => undefined;
  /** Rejects when the process ends or fails. */
  readonly failed: Promise<never>;
  #ending = false;

  private constructor(send: (message: ToLoad) => void, end: () => Promise<void>) {
    this.#send = send;
    this.#end = end;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Whoever waits races against it; nobody may be waiting just now.
    this.failed.catch(() => undefined);
  }

  static async start(children: Children, options: LoadOptions): Promise<LoadProcess> {
    let load: LoadProcess | undefined;
    const { child } = await children.start<FromLoad, ToLoad>({
      name: 'the load process',
      script: 'load.ts',
      options,
      onMessage: (message) => load?.hear(message),
      onLine: (line) => process.stderr.write(`load: ${line}\n`),
      onEnd: (why) => load?.ended(why),
    });
    load = new LoadProcess(
      (message) => child.send(message),
      () => child.end(),
    );
    return load;
  }

  /** Calls back with every report from now on; one listener at a time. */
  listen(listener: (progress: Progress) => void): void {
    this.#listener = listener;
  }

  /** Resolves when everything under way is answered and the history is on disk. */
  async stop(): Promise<void> {
    await this.#ask('stop', 'stopped');
  }

  async readBack(): Promise<{ missing: readonly MissingWrite[]; reads: number }> {
    const answer = await this.#ask('readBack', 'readBackDone');
    if (answer.type !== 'readBackDone') throw new DrillError(`the load process said ${answer.type}`);
    return answer;
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#end();
  }

  hear(message: FromLoad): void {
    if (message.type === 'progress') this.#listener(message);
    else if (message.type === 'failed') this.#fail(new DrillError(`the load process failed: ${message.why}`));
    else this.#waiting.get(message.type)?.(message);
  }

  ended(why: string): void {
    if (!this.#ending) this.#fail(new DrillError(`the load process ${why}`));
  }

  #ask(type: 'stop' | 'readBack', answer: FromLoad['type']): Promise<FromLoad> {
    const answered = new Promise<FromLoad>((resolve) => this.#waiting.set(answer, resolve));
    this.#send({ type });
    return Promise.race([answered, this.failed]);
  }
}
