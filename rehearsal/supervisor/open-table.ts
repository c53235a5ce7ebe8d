// Opens the table of a rehearsal the way an operator opens a deployed one: by the operator's own command.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { clockArguments, clockEnvironment } from '../ahead.ts';
import type { Credentials } from '../aws/credentials.ts';

export interface OpenTableOptions {
  readonly stage: string;
  readonly region: string;
  readonly endpoint: string;
  readonly credentials: Credentials;
  readonly signal: AbortSignal;
}

const COMMAND = join(import.meta.dirname, '..', '..', 'bin', 'open.ts');

/** Rejects with what the command said when it fails. */
export async function openTable(options: OpenTableOptions): Promise<void> {
  const { stage, region, endpoint, credentials, signal } = options;
  try {
    await promisify(execFile)(
      process.execPath,
      [...clockArguments(), COMMAND, '--stage', stage, '--region', region, '--endpoint', endpoint],
      {
        signal,
        env: {
          ...clockEnvironment(),
          AWS_ACCESS_KEY_ID: credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        },
      },
    );
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim();
    throw new Error(`npm run open: ${said || (error as Error).message}`, { cause: error });
  }
}
