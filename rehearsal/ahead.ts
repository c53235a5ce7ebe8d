// A clock that runs ahead of the machine's, so that a rehearsal can begin two minutes before some midnight. Only `Date`
// is ahead, by as much all the time; timers and `performance` are not. Every process of a rehearsal loads this before
// anything else (`node --import`), and takes from its environment by how much; what it forks gets the same again.
//
// Where it differs from a machine whose clock is ahead: what Node writes by itself (the Date header of answers, times of
// files) follows the machine.
import { pathToFileURL } from 'node:url';

const VARIABLE = 'EDEN_CLOCK_AHEAD_MS';
/** Further is a mistake: as far as a token of a rehearsal lives. */
const AHEAD_MS_MAX = 366 * 86_400_000;

const MachineDate = Date;
const machineNow = Date.now;
let aheadMs = 0;

/** By how many ms this process's `Date` is ahead of the machine. */
export function clockAheadMs(): number {
  return aheadMs;
}

/**
 * Sets this process's `Date` ahead of the machine from now on; 0 gives the machine's back.
 * @throws RangeError no whole number of ms from 0 to a year
 */
export function setClockAhead(ms: number): void {
  if (!(Number.isInteger(ms) && ms >= 0 && ms <= AHEAD_MS_MAX))
    throw new RangeError(`a clock is ahead by a whole number of ms from 0 to ${AHEAD_MS_MAX}, got ${ms}`);
  aheadMs = ms;
  globalThis.Date = ms === 0 ? MachineDate : AheadDate;
  MachineDate.now = ms === 0 ? machineNow : aheadNow;
  // So that `date.constructor === Date` holds of dates made before and after.
  MachineDate.prototype.constructor = globalThis.Date;
}

/** For `execArgv` of a process or a worker that is to have this one's clock; empty where that is the machine's. */
export function clockArguments(): string[] {
  return aheadMs === 0 ? [] : ['--import', pathToFileURL(import.meta.filename).href];
}

/** This process's environment for one that is to have its clock, started with {@link clockArguments}. */
export function clockEnvironment(): NodeJS.ProcessEnv {
  const { [VARIABLE]: _, ...rest } = process.env;
  return aheadMs === 0 ? rest : { ...rest, [VARIABLE]: String(aheadMs) };
}

/** What somebody puts before `npm run …` so that the command has this process's clock, and npm itself, which may run on
 * an older Node, does not; empty where that is the machine's. */
export function clockCommand(): string {
  return aheadMs === 0
    ? ''
    : `${VARIABLE}=${aheadMs} npm_config_node_options="${clockArguments().join(' ')}" `;
}

const aheadNow = (): number => machineNow() + aheadMs;

const AheadDate: DateConstructor = new Proxy(MachineDate, {
  apply: () => new MachineDate(aheadNow()).toString(),
  construct: (made, given: unknown[], as) =>
    Reflect.construct(made, given.length === 0 ? [aheadNow()] : given, as) as Date,
});

const given = process.env[VARIABLE];
if (given !== undefined) setClockAhead(Number(given));
