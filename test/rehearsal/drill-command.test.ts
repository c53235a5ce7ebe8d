// The drill's command line, as far as it goes without a rehearsal.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { atPace, seededRandom } from '../../rehearsal/drills/pace.ts';
import { scenariosOf } from '../../rehearsal/drills/scenarios.ts';

const NAMES = [
  'kill-primary',
  'data-centre-outage',
  'network-partition',
  'lone-observer',
  'gray-failure',
  'flapping',
  'both-regions-bad',
  'failback',
  'offline-days',
  'split-brain',
  'slow-network',
  'corruption',
  'complete-loss',
  'backup-sabotage',
];

const drill = (...args: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, '../../rehearsal/drill.ts'), ...args], {
    encoding: 'utf8',
  });

test('--list names every scenario', () => {
  const { status, stdout } = drill('--list');
  assert.equal(status, 0);
  assert.match(stdout, /^kill-primary +The primary region is killed, then frozen$/m);
  for (const name of NAMES) assert.match(stdout, new RegExp(`^${name} +\\S`, 'm'));
});

test('an unknown scenario is refused with those there are, before anything is started', () => {
  const { status, stderr } = drill('kill-everything');
  assert.equal(status, 2);
  assert.equal(stderr.trim(), `there is no scenario "kill-everything"; there is ${NAMES.join(', ')}`);
});

test('a wrong option is refused by name', () => {
  assert.match(drill('--seed', 'x').stderr, /--seed is a whole number from 0 to 4294967295, got x/);
  assert.match(drill('--fallback', 'maybe').stderr, /--fallback is on or off, got maybe/);
  assert.match(drill('--observers', '0').stderr, /--observers is on or off, got 0/);
  assert.match(drill('--records', '0').stderr, /--records is a whole number from 1 to 1000000, got 0/);
  assert.equal(drill('--nonsense').status, 2);
});

test('without a name all scenarios are run, with names those in that order', () => {
  assert.ok(scenariosOf([]).length > 0);
  assert.deepEqual(
    scenariosOf(['kill-primary', 'kill-primary']).map(({ scenario }) => scenario.name),
    ['kill-primary', 'kill-primary'],
  );
});

test('a variant is named behind its scenario, and one that is not there is refused with those that are', () => {
  const [chosen] = scenariosOf(['failback/cut-off']);
  assert.deepEqual([chosen?.scenario.name, chosen?.variant], ['failback', 'cut-off']);
  for (const name of ['failback/', 'failback/nothing', 'failback/cut-off/more'])
    assert.throws(() => scenariosOf([name]), /no variant of failback ".*"; there is failback, cut-off$/);
  assert.throws(() => scenariosOf(['slow-network/x']), /no variant of slow-network "x"; there is none$/);
});

test('the same seed gives the same choices', () => {
  const take = (seed: number) => Array.from({ length: 5 }, seededRandom(seed));
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
  for (const value of take(9)) assert.ok(value >= 0 && value < 1);
});

test('an open loop makes up for a stall, and each call keeps the moment it was due', async () => {
  const due: number[] = [];
  const stop = atPace(100, (scheduledAt) => due.push(scheduledAt));
  const until = performance.now() + 200;
  while (performance.now() < until);
  await new Promise((resolve) => setTimeout(resolve, 30));
  stop();
  assert.ok(due.length >= 20, `${due.length} calls`);
  for (const [index, at] of due.entries())
    assert.ok(Math.abs(at - (due[0] as number) - index * 10) < 1e-3, `call ${index}`);
});

test('a pace of nothing is refused', () => {
  assert.throws(() => atPace(0, () => undefined), /above 0 a second, got 0/);
});
