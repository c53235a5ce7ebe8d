// Which endpoint is asked, when one counts as unhealthy, and when as silent; all with a clock of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ending, type Endpoint, Endpoints, type Outstanding } from '../../client/endpoints.ts';
import { HEALTHY } from '../../client/health.ts';
import { checkOptions } from '../../client/options.ts';
import { HEALTH_CHECK } from '../../config/promises.ts';

const OPTIONS = checkOptions({ endpoints: ['http://primary', 'http://standby'] });
const nobody = () => false;

interface Sent extends Outstanding<Sent> {}

function pair() {
  const endpoints = new Endpoints<Sent>(OPTIONS);
  const [primary, standby] = endpoints.all as [Endpoint<Sent>, Endpoint<Sent>];
  const send = (endpoint: Endpoint<Sent>, startedAt: number, bodyBytes = 0): Sent => {
    const attempt: Sent = { startedAt, bodyBytes, owner: undefined, older: undefined, newer: undefined };
    endpoints.started(endpoint, attempt);
    return attempt;
  };
  const end = (endpoint: Endpoint<Sent>, attempt: Sent, ending: Ending, now: number) => {
    if (ending === 'answered' || ending === 'refused') endpoints.heard(endpoint, now);
    endpoints.ended(endpoint, attempt, ending, now);
  };
  const exchange = (endpoint: Endpoint<Sent>, ending: Ending, from: number, ms = 10) =>
    end(endpoint, send(endpoint, from), ending, from + ms);
  return { endpoints, primary, standby, send, end, exchange };
}

test('the numbers of the health check are those of the specification', () => {
  assert.equal(OPTIONS.unhealthyAfter, HEALTH_CHECK.unhealthyAfter);
  assert.equal(OPTIONS.healthyAfter, HEALTH_CHECK.healthyAfter);
  assert.equal(OPTIONS.probeIntervalMs, HEALTH_CHECK.intervalMs);
  assert.equal(OPTIONS.probeTimeoutMs, HEALTH_CHECK.timeoutMs);
});

test('the preferred endpoint gets everything while it is well', () => {
  const { endpoints, primary } = pair();
  for (const random of [0, 0.5, 0.999])
    assert.equal(
      endpoints.choose(() => random, nobody),
      primary,
    );
});

const stateOf = ({ health }: Endpoint<Sent>): string => health.state;

test('three failures in a row make an endpoint unhealthy, two successes in a row healthy again', () => {
  const { endpoints, primary, standby, exchange } = pair();
  exchange(primary, 'failed', 0);
  exchange(primary, 'failed', 10);
  assert.equal(stateOf(primary), 'healthy');
  exchange(primary, 'failed', 20);
  assert.equal(stateOf(primary), 'unhealthy');
  assert.equal(endpoints.choose(Math.random, nobody), standby);
  exchange(primary, 'answered', 30);
  exchange(primary, 'failed', 40);
  exchange(primary, 'answered', 50);
  assert.equal(stateOf(primary), 'unhealthy');
  exchange(primary, 'answered', 60);
  assert.equal(stateOf(primary), 'healthy');
});

test('a success between failures starts the count anew', () => {
  const { primary, exchange } = pair();
  for (const ending of ['failed', 'failed', 'answered', 'failed', 'failed'] as const)
    exchange(primary, ending, 0);
  assert.equal(primary.health.state, 'healthy');
});

test('refusals send traffic elsewhere, but do not make an endpoint unhealthy', () => {
  const { endpoints, primary, standby, exchange } = pair();
  for (let n = 0; n < 50; n += 1) exchange(primary, 'refused', n * 10);
  assert.equal(primary.health.state, 'healthy');
  assert.ok(endpoints.weight(primary) < 0.06);
  assert.equal(
    endpoints.choose(() => 0.5, nobody),
    standby,
  );
  assert.equal(
    endpoints.choose(() => 0.01, nobody),
    primary,
  );
});

test('an endpoint that just came back gets half of the requests, and its answers earn it the rest', () => {
  const { endpoints, primary, exchange } = pair();
  for (let n = 0; n < 100; n += 1) exchange(primary, 'failed', n * 10);
  exchange(primary, 'answered', 1_000);
  exchange(primary, 'answered', 1_010);
  assert.ok(Math.abs(endpoints.weight(primary) - 0.5) < 1e-9);
  for (let n = 0; n < 20; n += 1) exchange(primary, 'answered', 1_020 + n * 10);
  assert.equal(endpoints.weight(primary), 1);
});

test('a flaky endpoint gets no more first attempts than half of the retry budget pays for', () => {
  for (const failing of [0.1, 0.3, 0.5, 0.9]) {
    const { endpoints, primary, exchange } = pair();
    const random = seeded(7);
    let first = 0;
    let failures = 0;
    const operations = 20_000;
    for (let n = 0; n < operations; n += 1) {
      if (endpoints.choose(random, nobody) !== primary) continue;
      if (n < 2_000) {
        exchange(primary, random() < failing ? 'failed' : 'answered', n * 10);
        continue;
      }
      first += 1;
      const fails = random() < failing;
      if (fails) failures += 1;
      exchange(primary, fails ? 'failed' : 'answered', n * 10);
    }
    assert.ok(
      failures / operations < OPTIONS.retryRatio,
      `${failing}: ${failures} of ${operations}, ${first} first`,
    );
  }
});

test('an evacuated region is used after a healthy one and before an unhealthy one', () => {
  const { endpoints, primary, standby, exchange } = pair();
  primary.evacuated = true;
  assert.equal(endpoints.choose(Math.random, nobody), standby);
  for (let n = 0; n < 3; n += 1) exchange(standby, 'failed', n * 10);
  assert.equal(endpoints.choose(Math.random, nobody), primary);
  assert.equal(endpoints.chooseHealthy(Math.random, nobody), undefined);
});

test('when all are unhealthy the preferred one is asked first, and an excluded one never', () => {
  const { endpoints, primary, standby, exchange } = pair();
  for (const endpoint of [primary, standby])
    for (let n = 0; n < 3; n += 1) exchange(endpoint, 'failed', n * 10);
  assert.equal(endpoints.choose(Math.random, nobody), primary);
  assert.equal(
    endpoints.choose(Math.random, (it) => it === primary),
    standby,
  );
  assert.equal(
    endpoints.choose(Math.random, () => true),
    undefined,
  );
});

test('patience is 50 ms, or the observed 95th percentile when that is more', () => {
  const { endpoints, primary, exchange } = pair();
  assert.equal(endpoints.patienceMs(primary, 0), 50);
  for (let n = 0; n < 100; n += 1) exchange(primary, 'answered', n * 10, 20);
  assert.equal(endpoints.patienceMs(primary, 1_000), 50);
  for (let n = 0; n < 1_100; n += 1) exchange(primary, 'answered', 2_000 + n * 10, 120);
  assert.equal(endpoints.patienceMs(primary, 13_200), 120);
});

test('three outstanding and nothing heard for 50 ms is silence; two are not', () => {
  const { endpoints, primary, send } = pair();
  send(primary, 0);
  send(primary, 1);
  assert.equal(endpoints.silentAt(primary, 1_000), undefined);
  send(primary, 2);
  assert.equal(endpoints.silentAt(primary, 3), 52);
});

test('an endpoint that is heard from is not silent, however much is outstanding', () => {
  const { endpoints, primary, send } = pair();
  for (let n = 0; n < 100; n += 1) send(primary, n);
  endpoints.heard(primary, 500);
  assert.equal(endpoints.silentAt(primary, 501), 550);
});

test('a far but healthy endpoint is not taken for dead: answers are overdue only when three quarters took less', () => {
  const { endpoints, primary, send, exchange } = pair();
  for (let n = 0; n < 50; n += 1) exchange(primary, 'answered', n * 10, 180);
  for (let n = 0; n < 20; n += 1) send(primary, 10_000);
  assert.equal(endpoints.silentAt(primary, 10_001), 10_180);
});

test('under steady load a fault is noticed 50 ms after the last answer, also where answers take 80 ms', () => {
  const { endpoints, primary, send, end } = pair();
  const underWay: { attempt: Sent; endsAt: number }[] = [];
  for (let now = 0; now < 1_000; now += 5) {
    while (underWay[0] && underWay[0].endsAt <= now) {
      const { attempt, endsAt } = underWay.shift() as { attempt: Sent; endsAt: number };
      end(primary, attempt, 'answered', endsAt);
    }
    underWay.push({ attempt: send(primary, now), endsAt: now + 80 });
  }
  assert.equal(endpoints.silentAt(primary, 1_000), primary.heardAt + 50);
});

test('stalls that move the 95th percentile do not put off a redirect', () => {
  const { endpoints, primary, send, exchange } = pair();
  for (let n = 0; n < 500; n += 1) exchange(primary, 'answered', n * 10, n % 10 === 0 ? 300 : 30);
  assert.equal(endpoints.patienceMs(primary, 6_000), 300);
  for (let n = 0; n < 3; n += 1) send(primary, 6_000);
  assert.equal(endpoints.silentAt(primary, 6_001), 6_050);
});

test('large bodies under way are given the time they take on a slow line; small ones change nothing', () => {
  const { endpoints, primary, standby, send, end } = pair();
  const small = [1, 2, 3].map(() => send(primary, 0, 64 * 1024));
  assert.equal(endpoints.patienceMs(primary, 0), 50);
  assert.equal(endpoints.silentAt(primary, 0), 50);
  // 125,000 bytes take 100 ms at 10 Mbit/s.
  const large = [1, 2].map(() => send(primary, 0, 64 * 1024 + 125_000));
  assert.equal(endpoints.patienceMs(primary, 0), 250);
  assert.equal(endpoints.silentAt(primary, 0), 250);
  assert.equal(endpoints.patienceMs(standby, 0), 50);
  for (const attempt of large) end(primary, attempt, 'overtaken', 120);
  assert.deepEqual(primary.health, HEALTHY, 'not late yet');
  for (const attempt of small) end(primary, attempt, 'abandoned', 120);
  assert.equal(endpoints.patienceMs(primary, 120), 50);
});

test('a frozen endpoint with too little outstanding is found out by the races it loses', () => {
  const { primary, send, end } = pair();
  for (let n = 0; n < 3; n += 1) end(primary, send(primary, n * 1_000), 'overtaken', n * 1_000 + 100);
  assert.equal(primary.health.state, 'unhealthy');
});

test('losing a race is no failure for an endpoint that was heard from meanwhile, or had little time', () => {
  const { endpoints, primary, send, end } = pair();
  for (let n = 0; n < 10; n += 1) {
    const attempt = send(primary, n * 1_000);
    endpoints.heard(primary, n * 1_000 + 50);
    end(primary, attempt, 'overtaken', n * 1_000 + 100);
    end(primary, send(primary, n * 1_000 + 200), 'overtaken', n * 1_000 + 240);
  }
  assert.equal(primary.health.state, 'healthy');
  assert.equal(primary.errorRate, 0);
});

test('silence gives back all that is outstanding, oldest first, and two late answers heal it', () => {
  const { endpoints, primary, send, end } = pair();
  const attempts = [send(primary, 0), send(primary, 1), send(primary, 2), send(primary, 3)];
  assert.deepEqual(endpoints.silence(primary, 60), attempts);
  assert.deepEqual(primary.health, { state: 'unhealthy', because: 'silence', since: 60, successes: 0 });
  assert.equal(endpoints.silentAt(primary, 61), undefined);
  end(primary, attempts[0] as Sent, 'answered', 70);
  end(primary, attempts[1] as Sent, 'answered', 71);
  assert.equal(primary.health.state, 'healthy');
});

test('what is outstanding is accounted for exactly, whatever the order of endings', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          endpoint: fc.constantFrom(0, 1),
          ending: fc.constantFrom<Ending>('answered', 'refused', 'failed', 'overtaken', 'abandoned'),
          keep: fc.boolean(),
        }),
      ),
      (steps) => {
        const { endpoints, send, end } = pair();
        const open = [new Set<Sent>(), new Set<Sent>()] as const;
        for (const [now, { endpoint, ending, keep }] of steps.entries()) {
          const at = endpoints.all[endpoint] as Endpoint<Sent>;
          const mine = open[endpoint as 0 | 1];
          mine.add(send(at, now));
          const [oldest] = mine;
          if (keep || oldest === undefined) continue;
          mine.delete(oldest);
          end(at, oldest, ending, now + 1);
          // Ending it again changes nothing.
          const before = { health: at.health, errorRate: at.errorRate };
          end(at, oldest, 'failed', now + 2);
          assert.deepEqual({ health: at.health, errorRate: at.errorRate }, before);
        }
        for (const [index, set] of open.entries())
          assert.deepEqual([...(endpoints.all[index] as Endpoint<Sent>).outstanding], [...set]);
      },
    ),
  );
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
