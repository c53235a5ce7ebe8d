// Sides of a comparison as processes of their own, so that neither shares a thread with the other or with the clock.
// A side is a file that calls `serveParent`; who starts it asks by name and gets the answer. It ends with its parent.
import { type ChildProcess, fork } from 'node:child_process';

export interface Side<Answers extends object> {
  ask<Name extends keyof Answers & string>(name: Name, argument?: unknown): Promise<Answers[Name]>;
  end(): void;
}

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

type Reply = { readonly id: number } & ({ readonly answer: unknown } | { readonly error: string });

/** Forks `file` of this folder, with `options` as JSON in its first argument, `flags` for Node.js; resolves once it has
 * started. */
export async function startSide<Answers extends object>(
  file: string,
  options: object = {},
  flags: readonly string[] = [],
): Promise<Side<Answers>> {
  const child = fork(`${import.meta.dirname}/${file}`, [JSON.stringify(options)], {
    execArgv: [...flags],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const open = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
  child.on('message', (reply: Reply) => {
    const waiting = open.get(reply.id);
    open.delete(reply.id);
    if ('answer' in reply) waiting?.resolve(reply.answer);
    else waiting?.reject(new Error(`${file}: ${reply.error}`));
  });
  child.once('exit', (code, signal) => {
    for (const { reject } of open.values()) reject(new Error(`${file} ended with ${signal ?? code}`));
  });
  const ask = (id: number, name: string, argument: unknown) =>
    new Promise<unknown>((resolve, reject) => {
      open.set(id, { resolve, reject });
      child.send({ id, name, argument } satisfies Question, (error) => error && reject(error));
    });
  await ask(0, 'start', undefined).catch((error: unknown) => {
    child.kill();
    throw error;
  });
  return sideOf<Answers>(child, ask);
}

function sideOf<Answers extends object>(
  child: ChildProcess,
  ask: (id: number, name: string, argument: unknown) => Promise<unknown>,
): Side<Answers> {
  let asked = 0;
  return {
    ask: <Name extends keyof Answers & string>(name: Name, argument?: unknown) =>
      ask(++asked, name, argument) as Promise<Answers[Name]>,
    end: () => void child.kill(),
  };
}

/** In the child: answers its parent's questions with what `start` gives, made once from the options. */
export function serveParent<Answers extends object, Options>(
  start: (
    options: Options,
  ) => Promise<{ [Name in keyof Answers]: (argument: never) => Promise<Answers[Name]> }>,
): void {
  process.on('disconnect', () => process.exit());
  const started = start(JSON.parse(process.argv[2] ?? '{}') as Options);
  process.on('message', async ({ id, name, argument }: Question) => {
    const reply = (said: { answer: unknown } | { error: string }) => process.send?.({ id, ...said });
    try {
      const answers = (await started) as Record<string, (argument: unknown) => Promise<unknown>>;
      reply({ answer: name === 'start' ? null : ((await answers[name]?.(argument)) ?? null) });
    } catch (error) {
      reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
}
