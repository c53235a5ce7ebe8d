// Kills a real process that writes and settles, at random instants, again and again on one file, and looks at what is
// left each time. This proves the order of acknowledgement and commit and the recovery of half-written logs; what the
// operating system had in its cache survives a kill, so it proves nothing of fsync (see replay.ts).
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { openQueueFile } from '../../../client/queue.ts';
import { TYPESCRIPT_FLAGS } from './typescript.ts';
import { Witness } from './witness.ts';

/** A new file after so many kills, so that opening stays quick and creation is hit as well. */
const KILLS_PER_FILE = 25;
/** Edits of one life are numbered from here on; none writes so many. */
const NUMBERS_PER_LIFE = 1_000_000;
/** One life in five is killed within this of its start, while it opens; the others so long after their first word. */
const START_MS = 150;
const LIFE_MS = 40;

export interface Kills {
  readonly kills: number;
  readonly acknowledged: number;
  readonly wrong: readonly string[];
}

export async function killAgainAndAgain(kills: number, random: () => number): Promise<Kills> {
  const folder = mkdtempSync(join(tmpdir(), 'eden-field-kills-'));
  const wrong: string[] = [];
  let acknowledged = 0;
  try {
    for (let done = 0; done < kills; ) {
      const path = join(folder, `${done}.db`);
      const witness = new Witness();
      for (let life = 0; life < KILLS_PER_FILE && done < kills; life++, done++) {
        witness.hear(await livedUntilKilled(path, life * NUMBERS_PER_LIFE + 1, random));
        if (!existsSync(path)) continue;
        const queue = openQueueFile({ path, reserveBytes: 0, keptBytesMax: 20_000 });
        wrong.push(...witness.examine(queue));
        queue.verify();
        queue.close();
      }
      acknowledged += witness.taken;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { kills, acknowledged, wrong };
}

async function livedUntilKilled(path: string, first: number, random: () => number): Promise<string> {
  const writer = [...TYPESCRIPT_FLAGS, join(import.meta.dirname, 'writer.ts'), path, String(first)];
  const child = spawn(process.execPath, writer, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  const spoke = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      resolve();
    });
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  if (random() < 0.2) await setTimeout(START_MS * random());
  else {
    await Promise.race([spoke, ended]);
    await setTimeout(LIFE_MS * random());
  }
  child.kill('SIGKILL');
  await ended;
  return said;
}
