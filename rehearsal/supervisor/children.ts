// Child processes of the rehearsal: started with their options and this process's clock, watched until they are ready,
// ended for sure. They end by themselves when the channel to their parent closes; a frozen one cannot, so a keeper (a
// shell that waits for its input to close) kills whoever is left when the parent has died without a word.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { clockArguments, clockEnvironment } from '../ahead.ts';

const READY_MS_MAX = 30_000;
const TERMINATE_MS_MAX = 1_500;
const LAST_LINES = 5;

export interface ChildOptions<Message extends { readonly type: string }> {
  /** For messages. */
  readonly name: string;
  /** In `rehearsal/`. */
  readonly script: string;
  /** Becomes the first argument, as JSON. */
  readonly options: object;
  readonly onMessage: (message: Message) => void;
  /** A line of its standard output or error. */
  readonly onLine: (line: string) => void;
  /** It has ended; `why` says how in words. */
  readonly onEnd: (why: string) => void;
}

export interface Child<Send = never> {
  readonly pid: number;
  send(message: Send): void;
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
  /** Asks it to end, insists after a while; resolves when it has ended, also when it had before. */
  end(): Promise<void>;
}

/** All children of one rehearsal, so that none is left behind. */
export class Children {
  readonly #running = new Set<ChildProcess>();
  readonly #keeper: ChildProcess;

  constructor() {
    // In a session of its own, as the children are: Ctrl-C in a terminal reaches the supervisor alone, which then
    // ends everything in order. The keeper hears a list of process ids a line, and acts on the last when input ends.
    this.#keeper = spawn(
      '/bin/sh',
      ['-c', 'while read -r p; do pids=$p; done; [ -z "$pids" ] || kill -9 $pids'],
      {
        stdio: ['pipe', 'ignore', 'ignore'],
        detached: true,
      },
    );
    this.#keeper.on('error', () => undefined);
    this.#keeper.stdin?.on('error', () => undefined);
    this.#keeper.unref();
  }

  /** Starts one; resolves with its `ready` message, rejects with its last lines when it ends or says nothing. */
  async start<Message extends { readonly type: string }, Send = never>(
    options: ChildOptions<Message>,
  ): Promise<{ child: Child<Send>; ready: Extract<Message, { type: 'ready' }> }> {
    const { name, script, onMessage, onLine, onEnd } = options;
    const process_ = fork(join(import.meta.dirname, '..', script), [JSON.stringify(options.options)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
      execArgv: clockArguments(),
      env: clockEnvironment(),
    });
    this.#running.add(process_);
    this.#tellKeeper();
    const last: string[] = [];
    for (const stream of [process_.stdout, process_.stderr])
      forEachLine(stream, (line) => {
        last.push(line);
        if (last.length > LAST_LINES) last.shift();
        onLine(line);
      });
    const ended = new Promise<string>((resolve) => {
      process_.once('error', (error) => resolve(error.message));
      process_.once('close', (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with ${code}`));
    });
    let isReady = false;
    const ready = new Promise<Extract<Message, { type: 'ready' }>>((resolve) => {
      process_.on('message', (message) => {
        const said = message as Message;
        if (isReadyMessage(said)) {
          isReady = true;
          resolve(said);
        } else onMessage(said);
      });
    });
    ended.then((why) => {
      this.#running.delete(process_);
      this.#tellKeeper();
      if (isReady) onEnd(last.length > 0 && !why.includes('SIG') ? `${why}: ${last.at(-1)}` : why);
    });
    const timeout = new AbortController();
    try {
      const first = await Promise.race([
        ready,
        ended.then((why) =>
          Promise.reject(new Error(`${name} ${why} before it was ready\n${last.join('\n')}`)),
        ),
        tooLate(name, timeout.signal),
      ]);
      return { child: handle<Send>(process_, ended), ready: first };
    } catch (error) {
      process_.kill('SIGKILL');
      throw error;
    } finally {
      timeout.abort();
    }
  }

  /** Ends all at once, frozen ones too; none is left when it resolves. */
  async endAll(): Promise<void> {
    await Promise.all([...this.#running].map((child) => terminate(child)));
    if (this.#keeper.exitCode !== null || this.#keeper.pid === undefined) return;
    const closed = once(this.#keeper, 'close');
    this.#keeper.ref();
    this.#keeper.stdin?.end('\n');
    await closed;
  }

  #tellKeeper(): void {
    const pids = [...this.#running].map(({ pid }) => pid).filter((pid) => pid !== undefined);
    if (this.#keeper.stdin?.writable) this.#keeper.stdin.write(`${pids.join(' ')}\n`);
  }
}

function handle<Send>(process_: ChildProcess, ended: Promise<string>): Child<Send> {
  return {
    pid: process_.pid ?? 0,
    send(message) {
      // A child that just ended has no channel any more; whoever cares hears of its end.
      if (process_.connected) process_.send(message as object, () => undefined);
    },
    signal: (signal) => void process_.kill(signal),
    async end() {
      await terminate(process_);
      await ended;
    },
  };
}

async function terminate(process_: ChildProcess): Promise<void> {
  if (process_.exitCode !== null || process_.signalCode !== null) return;
  const exited = once(process_, 'exit');
  process_.kill('SIGTERM');
  // A stopped process takes SIGTERM only once it goes on.
  process_.kill('SIGCONT');
  const insist = setTimeout(() => process_.kill('SIGKILL'), TERMINATE_MS_MAX);
  await exited;
  clearTimeout(insist);
}

function isReadyMessage<Message extends { readonly type: string }>(
  message: Message,
): message is Extract<Message, { type: 'ready' }> {
  return message.type === 'ready';
}

async function tooLate(name: string, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${name} was not ready within ${READY_MS_MAX / 1_000} s`)),
      READY_MS_MAX,
    );
    signal.addEventListener('abort', () => clearTimeout(timer));
  });
}

function forEachLine(stream: Readable | null, use: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on('line', use);
}
