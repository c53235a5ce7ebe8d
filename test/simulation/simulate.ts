// `npm run simulate -- [--histories N] [--seed S] [--profile NAME] [--workers W] [--replay SEED]`: plays histories and
// stops at the first that breaks an invariant; a replay prints all that happened in one.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { wholeOf } from './arguments.ts';
import { play } from './history.ts';
import { eachOnThreads, PlayerThread } from './pool.ts';
import { PROFILES, type ProfileName, profileOf } from './profiles.ts';
import type { Report } from './worker.ts';

const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '0' },
    profile: { type: 'string' },
    workers: { type: 'string', default: String(Math.min(availableParallelism(), 8)) },
    replay: { type: 'string' },
  },
});

const PIECE = 50;

function profileIn(name: string | undefined): ProfileName | undefined {
  if (name === undefined || name in PROFILES) return name as ProfileName | undefined;
  throw new RangeError(`--profile: expected one of ${Object.keys(PROFILES).join(', ')}, got ${name}`);
}

function replay(seed: number, profile: ProfileName): boolean {
  console.log(`history ${seed}, profile ${profile}`);
  const played = play(seed, PROFILES[profile], (line) => console.log(line()));
  const { violation, events, operations } = played;
  console.log(`${events} events, ${operations} operations`);
  console.log(violation ? `BROKEN: ${violation.invariant}: ${violation.what}` : 'every invariant held');
  return violation === undefined;
}

function* pieces(from: number, count: number): Iterable<{ readonly from: number; readonly count: number }> {
  for (let done = 0; done < count; done += PIECE)
    yield { from: from + done, count: Math.min(PIECE, count - done) };
}

async function simulate(from: number, count: number, workers: number, profile: ProfileName | undefined) {
  const startMs = performance.now();
  const threads = Array.from({ length: workers }, () => new PlayerThread());
  const reports: Report[] = [];
  let broken: Report['broken'];
  await eachOnThreads(workers, pieces(from, count), async (piece, at) => {
    if (broken) return;
    const report = await (threads[at] as PlayerThread).play({ ...piece, profile });
    reports.push(report);
    broken ??= report.broken;
  });
  await Promise.all(threads.map((thread) => thread.end()));
  print(reports, performance.now() - startMs);
  if (!broken) return true;
  const { seed, profile: name, violation } = broken;
  console.log(`BROKEN in history ${seed}: ${violation.invariant}: ${violation.what}`);
  console.log(`see all of it: npm run simulate -- --replay ${seed} --profile ${name}`);
  return false;
}

function print(reports: readonly Report[], tookMs: number): void {
  const sum = (name: Exclude<keyof Report, 'broken'>) =>
    reports.reduce((total, report) => total + report[name], 0);
  const played = sum('played');
  console.log(
    `${played} histories in ${(tookMs / 1_000).toFixed(1)} s, ${Math.round((played * 1_000) / tookMs)} a second: ` +
      `${sum('operations')} operations, ${sum('conflicts')} conflicts, ${sum('crashes')} crashes, ` +
      `${sum('restores')} restores, ${Math.round(sum('virtualMs') / 86_400_000)} days of virtual time`,
  );
}

async function main(): Promise<boolean> {
  const profile = profileIn(values.profile);
  if (values.replay !== undefined) {
    const seed = wholeOf('replay', values.replay, 0);
    // From the event loop: see scheduler.ts.
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        try {
          resolve(replay(seed, profile ?? profileOf(seed)));
        } catch (error) {
          reject(error);
        }
      });
    });
  }
  const workers = wholeOf('workers', values.workers, 1);
  return simulate(
    wholeOf('seed', values.seed, 0),
    wholeOf('histories', values.histories, 1),
    workers,
    profile,
  );
}

process.exitCode = (await main()) ? 0 : 1;
