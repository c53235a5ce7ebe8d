// Where observers look in a rehearsal: links from their own region in the place of public names, and control probes
// that AWS answers over the ways between regions.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SUBSTITUTIONS, substitute } from '../../rehearsal/assembly/substitutions.ts';
import { openAwsFront } from '../../rehearsal/aws/aws-front.ts';
import { RegionLinks } from '../../rehearsal/aws/dynamodb/region-links.ts';
import { PRIMARY, QUORUM, REGIONS, roleArn, STANDBY } from './fake-deployment.ts';

const context = {
  awsEndpoint: 'http://127.0.0.1:1',
  roleArn: roleArn('observer'),
  region: QUORUM,
  jwtKeySet: '',
  probes: { [PRIMARY]: 'http://127.0.0.1:2', [STANDBY]: 'http://127.0.0.1:3' },
};
const observed = {
  endpoints: {
    [PRIMARY]: `https://${PRIMARY}.dev.example.com`,
    [STANDBY]: `https://${STANDBY}.dev.example.com`,
  },
  controls: Object.fromEntries(
    [PRIMARY, STANDBY, QUORUM].map((region) => [region, `https://dynamodb.${region}.amazonaws.com/`]),
  ),
  probeIntervalMs: 15_000,
  probeFailures: 3,
};

test('an observer probes over the links of its own region, at the pace the template gives', () => {
  const made = substitute({ OBSERVED: JSON.stringify(observed) }, context);
  assert.deepEqual(JSON.parse(made['OBSERVED'] ?? ''), {
    endpoints: context.probes,
    controls: {
      [PRIMARY]: `http://127.0.0.1:1/reach/${QUORUM}/${PRIMARY}`,
      [STANDBY]: `http://127.0.0.1:1/reach/${QUORUM}/${STANDBY}`,
      [QUORUM]: `http://127.0.0.1:1/reach/${QUORUM}/${QUORUM}`,
    },
    probeIntervalMs: 15_000,
    probeFailures: 3,
  });
});

test('what the template does not set stays unset, and what is substituted is said', () => {
  assert.equal('OBSERVED' in substitute({}, context), false);
  assert.equal('JWT_KEY_SET' in substitute({}, context), false);
  for (const name of ['OBSERVED', 'JWT_KEY_SET', 'AWS_ENDPOINT_URL'])
    assert.ok(
      SUBSTITUTIONS.some((line) => line.includes(name)),
      name,
    );
});

test('what an observer could not use is refused with what came', () => {
  for (const [value, message] of [
    ['not JSON', /JSON/],
    ['{"endpoints":{}}', /OBSERVED: expected \{"endpoints".* got \{"endpoints":\{\}\}/],
    ['[]', /OBSERVED: expected/],
    [
      JSON.stringify({ ...observed, endpoints: { 'eu-west-1': 'https://x' } }),
      /us-east-1 watches eu-west-1; there are links to us-east-2, us-west-2/,
    ],
  ] as const)
    assert.throws(() => substitute({ OBSERVED: value }, context), message);
});

const between = [PRIMARY, QUORUM] as const;
const links = new RegionLinks([{ between, cut: false, delayMs: 20 }]);
const front = await openAwsFront({
  services: new Map(),
  callers: new Map(
    REGIONS.map((region) => [region, { principalArn: 'someone', region, secretAccessKey: 'none' }]),
  ),
  links,
  hangMs: 300,
});
after(() => front.close());

const reach = (from: string, to: string, signal?: AbortSignal) =>
  fetch(`${front.endpoint}/reach/${from}/${to}`, signal ? { signal } : {});

test('it answers anybody, after the round trip between the two regions', async () => {
  const from = performance.now();
  const answer = await reach(QUORUM, PRIMARY);
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), `healthy: dynamodb.${PRIMARY}`);
  assert.ok(performance.now() - from >= 39);
});

test('a cut hangs it until it heals, and a region to itself is never cut', async () => {
  links.set([{ between, cut: true, delayMs: 20 }]);
  assert.equal((await reach(QUORUM, QUORUM)).status, 200);
  await assert.rejects(reach(QUORUM, PRIMARY, AbortSignal.timeout(50)), { name: 'TimeoutError' });
  const asked = reach(QUORUM, PRIMARY);
  await sleep(30);
  links.set([{ between, cut: false, delayMs: 0 }]);
  assert.equal((await asked).status, 200);
});

test('a region that is gone never answers; whoever waits sees the connection break in the end', async () => {
  links.setUp(PRIMARY, false);
  const from = performance.now();
  await assert.rejects(reach(QUORUM, PRIMARY), { name: 'TypeError' });
  assert.ok(performance.now() - from >= 290);
  links.setUp(PRIMARY, true);
  assert.equal((await reach(QUORUM, PRIMARY)).status, 200);
});

test('a region that does not exist is not reached', async () => {
  const answer = await reach(QUORUM, 'mars');
  assert.equal(answer.status, 404);
  assert.match(await answer.text(), /no region mars/);
});
