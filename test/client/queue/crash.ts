// The long form of the queue's crash tests: node test/client/queue/crash.ts [kills] [seed]. Kills, power cuts at every
// byte, a flipped bit in every few bytes, every page misplaced, a hundred thousand lives against the model. Prints
// what was done and found; exits 1 when anything was.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bitFlips, cuts, judge, misplacedPages, specimens } from './damage.ts';
import { killAgainAndAgain } from './kills.ts';
import { isStraceInstalled, reconstructWriter, recordWriter } from './recording.ts';
import { replay } from './replay.ts';
import { seededRandom } from './seeded.ts';
import { TYPESCRIPT_FLAGS } from './typescript.ts';

const [kills = '1000', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
const FLIP_EVERY_BYTES = 7;
const MODEL_RUNS = 100_000;
const random = seededRandom(Number(seed));
let wrongInAll = 0;

function report(what: string, startedMs: number, figures: string, wrong: readonly string[]): void {
  const seconds = ((Date.now() - startedMs) / 1_000).toFixed(0);
  console.log(`${what}: ${figures}; ${wrong.length} wrong (${seconds} s)`);
  for (const finding of wrong.slice(0, 10)) console.log(`  ${finding}`);
  wrongInAll += wrong.length;
}

async function killed(): Promise<void> {
  const started = Date.now();
  const { acknowledged, wrong } = await killAgainAndAgain(Number(kills), random);
  report('kill -9', started, `${kills} kills, ${acknowledged} operations acknowledged`, wrong);
}

async function powerCut(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'eden-field-crash-'));
  try {
    const path = join(folder, 'queue.db');
    const started = Date.now();
    if (!isStraceInstalled()) console.log('recorded power cuts: not run: strace is not installed');
    const events = isStraceInstalled() ? recordWriter(path, 24, 12) : await reconstructWriter(path, 24, 12);
    const { crashPoints, openings, wrong } = replay(events, { random, tears: 'every byte', share: 1 });
    report('power cut', started, `${crashPoints} crash points, ${openings} different disks opened`, wrong);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function damaged(): Promise<void> {
  for (const specimen of await specimens()) {
    const all = (size: number) =>
      Array.from({ length: Math.ceil(size / FLIP_EVERY_BYTES) }, (_, n) => n * FLIP_EVERY_BYTES);
    const kinds = {
      'bit flips': bitFlips(specimen, all),
      cuts: cuts(specimen),
      'misplaced pages': misplacedPages(specimen),
    };
    for (const [kind, damages] of Object.entries(kinds)) {
      const started = Date.now();
      const { damages: count, refused, wrong } = judge(specimen, damages);
      report(
        `${kind}, ${specimen.what}`,
        started,
        `${count} damages, ${refused} refused, the rest without effect`,
        wrong,
      );
    }
  }
}

function modelled(): void {
  const started = Date.now();
  const test = join(import.meta.dirname, 'model.test.ts');
  const env = { ...process.env, QUEUE_RUNS: String(MODEL_RUNS) };
  const { status, stdout } = spawnSync(process.execPath, [...TYPESCRIPT_FLAGS, '--test', test], {
    env,
    encoding: 'utf8',
  });
  report('model', started, `${MODEL_RUNS} lives`, status === 0 ? [] : [stdout]);
}

console.log(`seed ${seed}`);
await killed();
await powerCut();
await damaged();
modelled();
process.exitCode = wrongInAll === 0 ? 0 : 1;
