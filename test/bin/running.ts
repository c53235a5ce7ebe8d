// A command of `bin/` as an operator runs it: a process of its own, with somebody's keys.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Of `bin/<name>.ts`. Its keys are nobody's unless `environment` says other ones; no call is tried twice. */
export async function runCommand(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const env = { ...process.env, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_MAX_ATTEMPTS: '1' };
  const file = join(import.meta.dirname, '../../bin', `${name}.ts`);
  try {
    const ran = await promisify(execFile)(process.execPath, [file, ...args], {
      env: { ...env, ...environment },
    });
    return { code: 0, ...ran };
  } catch (error) {
    return error as Ran;
  }
}
