// An operator at a keyboard: runs a command of `bin/` as a process of its own, on the rehearsal that is drilled.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clockArguments, clockEnvironment } from '../ahead.ts';
import type { Rehearsal } from '../supervisor/rehearsal.ts';
import { stateFileOf } from '../supervisor/state-file.ts';
import type { DrilledSystem } from './system.ts';

const COMMANDS = join(import.meta.dirname, '..', '..', 'bin');

/** Knows the rehearsal by the word that it leaves of itself, as somebody does who works beside `npm start`. */
export function operatorOf(rehearsal: Rehearsal): DrilledSystem['operator'] {
  return async (command, args, signal) => {
    const folder = await mkdtemp(join(tmpdir(), 'eden-field-operator-'));
    try {
      const state = join(folder, 'rehearsal.json');
      await writeFile(state, stateFileOf(rehearsal));
      return await run([join(COMMANDS, `${command}.ts`), ...args, '--state', state], signal);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
}

function run(
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [...clockArguments(), ...args], {
    env: clockEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, said }));
  });
}
