// What `npm run evacuate` and `npm run failback` share: reading the arguments, asking before acting, saying what is
// done, Ctrl-C, and the exit code.
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DRAIN_MS } from '../../protocol/limits.ts';
import { ROUTING_REASON_CHARS_MAX } from '../../protocol/routing.ts';
import { type Facts, gather } from './facts.ts';
import { latchCommandsOf } from './latch.ts';
import { giveUpDrain, leave, type Outcome, type Ports, type Step } from './leave.ts';
import { type Leaving, LOOKS_APART_MS, LOOKS_BEFORE, type Plan } from './plan.ts';
import { changeThroughAny, openReplicas, type Replica } from './table.ts';
import { servingOf, WHERE_OPTIONS, WHERE_USAGE, type Where, whereFrom } from './where.ts';
import { lasting } from './words.ts';

/** 0 done, or nothing to do; 1 not done, or not all of it; 2 could not run. */
const DONE = 0;
const NOT_DONE = 1;
const COULD_NOT_RUN = 2;
/** By the shell's convention for SIGINT. */
const INTERRUPTED = 130;

export const OPERATOR_USAGE = `  --reason    why, in words: it stands in the routing state and in every region's audit bucket
  --force     do it although something speaks against it; what did is recorded with the reason
  --give-up   only end a drain that a killed run left behind; moves nothing
  --yes       do not ask
  --json      a line of JSON a step, the last one with "step":"end"
${WHERE_USAGE}
Exit code: 0 done or nothing to do, 1 refused or not done, 2 could not run, 130 interrupted.`;

export interface Command {
  readonly what: 'evacuate' | 'failback';
  readonly usage: string;
  /** From what stands beside the options. @throws {RangeError} that makes no sense */
  readonly planFrom: (positionals: readonly string[], where: Where) => (looks: readonly Facts[]) => Plan;
}

interface Asked {
  readonly reason: string;
  readonly force: boolean;
  readonly giveUp: boolean;
  readonly yes: boolean;
  readonly json: boolean;
}

export type Result = Omit<Outcome, 'ending'> & {
  readonly ending: Outcome['ending'] | 'already' | 'refused' | 'declined';
};

/** Sets the exit code of this process when it is done. */
export async function runCommand(command: Command, args: readonly string[]): Promise<void> {
  try {
    process.exitCode = await run(command, args);
  } catch (error) {
    const isUsage =
      error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
    const message = error instanceof Error ? error.message : error;
    console.error(`${command.what}: ${message}${isUsage ? `\n\n${command.usage}` : ''}`);
    process.exitCode = COULD_NOT_RUN;
  }
}

async function run(command: Command, args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...WHERE_OPTIONS,
      reason: { type: 'string' },
      force: { type: 'boolean', default: false },
      'give-up': { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(command.usage);
    return DONE;
  }
  const { force, yes, json, 'give-up': giveUp } = values;
  const asked: Asked = { reason: reasonIn(values.reason), force, giveUp, yes, json };
  const where = await whereFrom(values);
  if (!where)
    throw new Error('no rehearsal runs here: start one with npm start, or name a stage with --stage');
  const { table } = where;
  if (!table) throw new Error(`${where.name} does not say where its table is: start it again with npm start`);
  const planOf = command.planFrom(positionals, where);
  if (!yes && !process.stdin.isTTY)
    throw new RangeError('nobody is there to be asked: expected a terminal or --yes, got neither');

  const opened = openReplicas(table, writeOrder(where));
  const interruption = listenForInterrupts('a drain');
  const { say, end } = sayer(json);
  try {
    const ports = portsOf(where, opened.replicas, interruption.signal, say);
    const result = await carriedOut({ asked, where, planOf }, ports);
    const code = EXIT_CODES[result.ending];
    end(result, code);
    return code;
  } finally {
    interruption.stop();
    opened.close();
  }
}

/** @throws {RangeError} there is none, or more than can be kept */
export function reasonIn(text: string | undefined): string {
  const reason = text?.trim() ?? '';
  if (reason === '') throw new RangeError('--reason says why, got none');
  if (reason.length > ROUTING_REASON_CHARS_MAX)
    throw new RangeError(`--reason has at most ${ROUTING_REASON_CHARS_MAX} characters, got ${reason.length}`);
  return reason;
}

/** The primary last: it is the one most likely to be in trouble. */
function writeOrder({ regions }: Where): readonly string[] {
  const order = ['standby', 'quorum', 'primary'];
  return regions
    .toSorted((a, b) => order.indexOf(a.role) - order.indexOf(b.role))
    .map(({ region }) => region);
}

function portsOf(
  where: Where,
  replicas: readonly Replica[],
  interrupted: AbortSignal,
  say: (step: Step) => void,
): Ports {
  const now = () => Date.now();
  return {
    now,
    sleep: (ms) => sleep(ms, undefined, { signal: interrupted }).catch(() => undefined),
    observe: () => gather(where, replicas, now),
    change: (previous, next) => changeThroughAny(replicas, previous, next, sleep),
    latchCommands: () => latchCommandsOf(where.dns),
    say,
    interrupted,
  };
}

export interface Undertaking {
  readonly asked: Asked;
  readonly where: Pick<Where, 'name'>;
  readonly planOf: (looks: readonly Facts[]) => Plan;
}

/** Everything between the arguments and the exit code. */
export async function carriedOut({ asked, where, planOf }: Undertaking, ports: Ports): Promise<Result> {
  const { reason, force, giveUp, yes } = asked;
  const looks = await lookBefore(giveUp ? () => 1 : looksBefore, planOf, ports);
  const facts = looks.at(-1);
  const routing = facts?.routing;
  const notBegun = (): Result => ({
    ending: ports.interrupted.aborted ? 'interrupted' : 'declined',
    why: 'nothing was changed',
    routing,
  });
  if (ports.interrupted.aborted || !facts) return notBegun();
  if (giveUp) {
    if (routing?.draining && !yes && !(await agreed(`${where.name}: give up the drain?`, ports)))
      return notBegun();
    return giveUpDrain({ facts, reason }, ports);
  }
  const plan = planOf(looks);
  if (plan.kind === 'already') return { ending: 'already', why: plan.why, routing };
  if (plan.refusals.length > 0 && !force)
    return {
      ending: 'refused',
      why: `${plan.refusals.map(({ why }) => why).join('; ')} (--force does it all the same)`,
      routing,
    };
  for (const { why } of plan.refusals) ports.say({ step: 'plan', says: `in spite of this: ${why}` });
  if (!yes && !(await agreed(questionOf(plan, where.name, reason), ports))) return notBegun();
  return leave(plan, { reason, overridden: plan.refusals, facts }, ports);
}

function looksBefore(to: string, { primary }: Facts): number {
  return LOOKS_BEFORE[to === primary ? 'primary' : 'standby'];
}

/** As many looks as it takes; one is enough where there is nothing to do. */
async function lookBefore(
  countFor: typeof looksBefore,
  planOf: Undertaking['planOf'],
  { observe, sleep, say, interrupted }: Ports,
): Promise<readonly Facts[]> {
  const looks: Facts[] = [];
  for (let count = 1; looks.length < count && !interrupted.aborted; ) {
    if (looks.length > 0) await sleep(LOOKS_APART_MS);
    const facts = await observe();
    if (!facts.heard)
      throw new Error(
        `no replica answers a consistent read (${facts.replicas.map(({ region, why }) => `${region}: ${why}`).join('; ')}): does it run, and are the credentials, the table and the endpoint right?`,
      );
    looks.push(facts);
    const plan = planOf(looks);
    if (plan.kind === 'already') break;
    const { to } = plan;
    count = countFor(to, facts);
    say({
      step: 'look',
      says: `look ${looks.length} of ${count}: /ready of ${to} ${facts.ready[to]?.why}`,
    });
  }
  return looks;
}

function questionOf({ from, to, drains }: Leaving, name: string, reason: string): string {
  const drain = drains ? `drain ${from} for ${lasting(DRAIN_MS)}, then make` : 'make';
  return `${name}: ${drain} ${to} active instead of ${from}, because "${reason}"?`;
}

/** On standard error: standard output may belong to a program. No answer is a no. */
export async function agreed(
  question: string,
  { interrupted }: Pick<Ports, 'interrupted'>,
): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // While it reads a terminal, Ctrl-C comes to it and not as a signal.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = once(lines, 'close').then(() => '');
  try {
    const answer = await Promise.race([
      lines.question(`${question} [y/N] `, { signal: interrupted }),
      closed,
    ]);
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    return false;
  } finally {
    lines.close();
  }
}

const EXIT_CODES: Readonly<Record<Result['ending'], number>> = {
  moved: DONE,
  already: DONE,
  by_another: DONE,
  drain_ended: DONE,
  moved_but: NOT_DONE,
  given_up: NOT_DONE,
  lost: NOT_DONE,
  refused: NOT_DONE,
  declined: NOT_DONE,
  unknown: COULD_NOT_RUN,
  interrupted: INTERRUPTED,
};

const ENDINGS: Readonly<Record<Result['ending'], string>> = {
  moved: 'done',
  already: 'nothing to do',
  by_another: 'done by another',
  drain_ended: 'done',
  moved_but: 'moved, but',
  given_up: 'given up',
  lost: 'overtaken',
  refused: 'refused',
  declined: 'not wanted',
  unknown: 'not known to be done',
  interrupted: 'interrupted',
};

function sayer(json: boolean): { say: (step: Step) => void; end: (result: Result, code: number) => void } {
  const beganAt = performance.now();
  const seconds = () => (performance.now() - beganAt) / 1_000;
  const line = (fields: object) => console.log(JSON.stringify({ at: Date.now(), ...fields }));
  const tell = (says: string) => console.log(`${seconds().toFixed(1).padStart(6)} s  ${says}`);
  return {
    say: json ? line : ({ says }) => tell(says),
    end({ ending, why, routing }, exitCode) {
      if (json) line({ step: 'end', says: why, ending, exitCode, routing: routing ?? null });
      else tell(`${ENDINGS[ending]}: ${why}`);
    },
  };
}

/** One Ctrl-C comes twice under npm: from the terminal, and passed on. */
const SAME_KEY_MS = 500;

/** The first asks the run to give up what it began, the second ends it as it stands. `left`: what may then be left. */
export function listenForInterrupts(left: string): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = () => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      console.error(`\ngiving up what is under way (again to insist: ${left} may be left behind)`);
      controller.abort();
    } else if (now - firstAt > SAME_KEY_MS) process.exit(INTERRUPTED);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    stop() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

/** For `evacuate`: a region that can be active. */
export function servingRegionIn(positionals: readonly string[], where: Where): string {
  const { primary, standby } = servingOf(where);
  const known = [primary.region, standby.region];
  const [region, ...others] = positionals;
  if (region === undefined || others.length > 0 || !known.includes(region))
    throw new RangeError(`expected one region, ${known.join(' or ')}, got "${positionals.join(' ')}"`);
  return region;
}
