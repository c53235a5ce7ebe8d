// The fence around jobs that must run once: who gets in, and what it takes for a region that slept through a failover
// to find out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runsJobs } from '../../lambdas/core/routing.ts';
import type { Role } from '../../lambdas/env.ts';
import { enterJob, type JobName } from '../../lambdas/fence.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import type { RoutingState } from '../../protocol/routing.ts';
import { REGIONS } from './functions.ts';
import { activeIn, Jobs } from './who-is-active.ts';

const T = 1_800_000_000_000;

/** The table as every region sees it, and the doors of all. */
class Doors {
  routing: RoutingState | undefined;
  readonly jobs = new Jobs();
  /** Runs between a region's read and its write. */
  meanwhile: () => void = () => {};

  enter(role: Role, job: JobName = 'sweep', routing = async () => this.routing) {
    return enterJob(
      {
        place: { stage: 'dev', role, region: REGIONS[role], regions: REGIONS },
        now: () => T,
        store: {
          routing: async () => {
            const read = await routing();
            this.meanwhile();
            return read;
          },
          enterJob: this.jobs.enter,
        },
      },
      job,
    );
  }
}

test('until something moved, the primary enters, again and again, and nobody else', async () => {
  const doors = new Doors();
  assert.deepEqual(await doors.enter('primary'), { entered: true, epoch: 0 });
  assert.deepEqual(await doors.enter('primary'), { entered: true, epoch: 0 });
  const why = `${REGIONS.primary} is active`;
  for (const role of ['standby', 'quorum'] as const)
    assert.deepEqual(await doors.enter(role), { entered: false, why });
  assert.deepEqual(doors.jobs.entries.get('sweep'), { epoch: 0, region: REGIONS.primary, at: T });
});

test('while a region is being left, nothing begins anywhere', async () => {
  for (const [from, to] of [
    ['primary', 'standby'],
    ['standby', 'primary'],
  ] as const) {
    const doors = new Doors();
    doors.routing = activeIn(REGIONS[from], 7, { draining: { to: REGIONS[to], since: T } });
    assert.deepEqual(await doors.enter(from), {
      entered: false,
      why: `${REGIONS[from]} is being left for ${REGIONS[to]}`,
    });
    assert.equal((await doors.enter(to)).entered, false);
    assert.equal(doors.jobs.entries.size, 0);
  }
});

test('a primary that comes back reads that it is over, whatever it believed', async () => {
  const doors = new Doors();
  await doors.enter('primary');
  doors.routing = activeIn(REGIONS.standby, T);
  assert.deepEqual(await doors.enter('standby'), { entered: true, epoch: T });
  assert.deepEqual(await doors.enter('primary'), { entered: false, why: `${REGIONS.standby} is active` });
});

test('one that was frozen between its read and its write is refused by the epoch its successor recorded', async () => {
  const doors = new Doors();
  doors.routing = activeIn(REGIONS.primary, 5);
  doors.jobs.entries.set('sweep', { epoch: 5, region: REGIONS.primary, at: T });
  const remembered = doors.routing;
  doors.routing = activeIn(REGIONS.standby, T);
  assert.equal((await doors.enter('standby')).entered, true);
  const revived = await doors.enter('primary', 'sweep', async () => remembered);
  assert.equal(revived.entered, false);
  assert.match(revived.entered ? '' : revived.why, /sweep has run under a later epoch than 5/);
  assert.equal(doors.jobs.entries.get('sweep')?.region, REGIONS.standby);
  assert.equal(
    (await doors.enter('primary', 'trim', async () => remembered)).entered,
    true,
    'jobs are apart',
  );
});

test('a table that does not answer lets nobody in', async () => {
  const doors = new Doors();
  const gone = () =>
    Promise.reject(new StoreUnavailableError('gone', { retryable: true, mayHaveLanded: true }));
  await assert.rejects(doors.enter('primary', 'sweep', gone), StoreUnavailableError);
  assert.equal(doors.jobs.entries.size, 0);
});

test('over any moves and memories, epochs of a job never run backwards, and nobody enters but who was active', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          role: fc.constantFrom('primary', 'standby'),
          move: fc.constantFrom('stay', 'move', 'drain'),
          // How many states ago its copy of the routing state is from.
          behind: fc.nat(3),
        }),
        { maxLength: 30 },
      ),
      async (steps) => {
        const doors = new Doors();
        const states: (RoutingState | undefined)[] = [undefined];
        let recorded = 0;
        for (const { role, move, behind } of steps) {
          const last = states.at(-1);
          const active = last?.activeRegion ?? REGIONS.primary;
          const other = active === REGIONS.primary ? REGIONS.standby : REGIONS.primary;
          const epoch = (last?.epoch ?? 0) + 1;
          if (move === 'move') states.push(activeIn(other, epoch));
          if (move === 'drain') states.push(activeIn(active, epoch, { draining: { to: other, since: T } }));
          const read = states.at(-1 - behind) ?? states[0];
          const entry = await doors.enter(role, 'sweep', async () => read);
          if (!entry.entered) continue;
          assert.ok(entry.epoch >= recorded, `${entry.epoch} after ${recorded}`);
          assert.ok(runsJobs(read, REGIONS[role], REGIONS.primary).runs);
          recorded = entry.epoch;
        }
      },
    ),
  );
});
