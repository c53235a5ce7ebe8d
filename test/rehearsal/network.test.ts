// Which ways a cut closes, and which it leaves open.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, beforeEach, test } from 'node:test';
import { OUTSIDE } from '../../rehearsal/aws/credentials.ts';
import type { LinkState } from '../../rehearsal/supervisor/messages.ts';
import { type CutFrom, Network } from '../../rehearsal/supervisor/network.ts';
import { listen } from '../../rehearsal/supervisor/ports.ts';
import { PRIMARY, QUORUM, REGIONS, STANDBY } from './fake-deployment.ts';

let told: readonly LinkState[] = [];
const network = await Network.open({
  regions: REGIONS,
  serving: [PRIMARY, STANDBY],
  roundTripMs: (from, to) => (from === to ? 0 : 10),
  firstPort: 0,
  onRegionLinks: (links) => {
    told = links;
  },
});
const server = createServer((_, response) => void response.setHeader('connection', 'close').end('ok'));
const port = await listen(server, 0);
after(async () => {
  await network.close();
  server.closeAllConnections();
  server.close();
});

const PLACES = [OUTSIDE, 'checkers', ...REGIONS];
/** The ways to serving regions that are cut, as `<from> <to>`. */
const cutWays = () =>
  PLACES.flatMap((from) =>
    [PRIMARY, STANDBY].flatMap((to) => (network.link(from, to)?.conditions.cut ? [`${from} ${to}`] : [])),
  ).sort();
/** The same of what the AWS process knows. */
const cutStates = () => network.regionLinks.filter(({ cut }) => cut).map(({ between }) => between.join(' '));

beforeEach(() => {
  for (const region of REGIONS) {
    network.setCut(region, undefined);
    for (const to of REGIONS) network.setWay(region, to, undefined);
  }
});

const toAndFrom = (region: string, froms: readonly string[]) =>
  [
    ...froms.map((from) => `${from} ${region}`),
    ...[PRIMARY, STANDBY].filter((to) => to !== region).map((to) => `${region} ${to}`),
  ].sort();

for (const [from, closed, states] of [
  ['regions', toAndFrom(PRIMARY, [STANDBY, QUORUM]), [`${PRIMARY} ${STANDBY}`, `${PRIMARY} ${QUORUM}`]],
  [
    'everyone',
    toAndFrom(PRIMARY, [OUTSIDE, 'checkers', STANDBY, QUORUM]),
    [`${OUTSIDE} ${PRIMARY}`, `${PRIMARY} ${STANDBY}`, `${PRIMARY} ${QUORUM}`],
  ],
] as const satisfies readonly (readonly [CutFrom, readonly string[], readonly string[]])[])
  test(`cut off from ${from}, a region still reaches itself`, () => {
    network.setCut(PRIMARY, from);
    assert.deepEqual(cutWays(), closed);
    assert.deepEqual(cutStates(), states);
    assert.ok(told.every(({ between }) => between.some((it) => it === PRIMARY)));
    network.setCut(PRIMARY, undefined);
    assert.deepEqual(cutWays(), []);
  });

test('a region without an API is cut off from those that have one', () => {
  network.setCut(QUORUM, 'regions');
  assert.deepEqual(cutWays(), [`${QUORUM} ${PRIMARY}`, `${QUORUM} ${STANDBY}`]);
});

test('of two cuts one heals, and the way between them stays cut', () => {
  network.setCut(PRIMARY, 'everyone');
  network.setCut(STANDBY, 'regions');
  network.setCut(PRIMARY, undefined);
  assert.deepEqual(cutWays(), toAndFrom(STANDBY, [PRIMARY, QUORUM]));
});

test('one way cut closes both directions and the data between the two, and nothing else', () => {
  network.setWay(STANDBY, PRIMARY, 'everything');
  assert.deepEqual(cutWays(), [`${PRIMARY} ${STANDBY}`, `${STANDBY} ${PRIMARY}`].sort());
  assert.deepEqual(cutStates(), [`${PRIMARY} ${STANDBY}`]);
  assert.deepEqual(
    told.map(({ between }) => between),
    [[PRIMARY, STANDBY]],
  );
  network.setWay(STANDBY, PRIMARY, undefined);
  assert.deepEqual([cutWays(), cutStates()], [[], []]);
});

test('a way cut for questions lets the data through, and what is asked the other way round', () => {
  network.setWay(STANDBY, PRIMARY, 'questions');
  assert.deepEqual([cutWays(), cutStates()], [[`${STANDBY} ${PRIMARY}`], []]);
  network.setWay(QUORUM, STANDBY, 'everything');
  assert.deepEqual(cutStates(), [`${STANDBY} ${QUORUM}`]);
});

test('a way cut alone stays cut when one of its regions is revived, and the other way round', () => {
  network.setWay(QUORUM, PRIMARY, 'everything');
  network.setCut(QUORUM, 'regions');
  network.setCut(QUORUM, undefined);
  assert.deepEqual(cutWays(), [`${QUORUM} ${PRIMARY}`]);
  network.setCut(QUORUM, 'regions');
  network.setWay(QUORUM, PRIMARY, undefined);
  assert.deepEqual(cutWays(), [`${QUORUM} ${PRIMARY}`, `${QUORUM} ${STANDBY}`]);
});

test('all who call a region are led to where it listens, or turned away', async () => {
  network.retarget(PRIMARY, port);
  const from = performance.now();
  const url = network.endpointsFrom(QUORUM)[PRIMARY] ?? '';
  assert.equal(await (await fetch(url)).text(), 'ok');
  assert.ok(performance.now() - from >= 10, 'a round trip at least');
  network.retarget(PRIMARY, undefined);
  for (const place of REGIONS) await assert.rejects(fetch(network.endpointsFrom(place)[PRIMARY] ?? ''));
  assert.deepEqual(Object.keys(network.endpointsFrom(PRIMARY)), [PRIMARY, STANDBY]);
  assert.equal(network.link(OUTSIDE, QUORUM), undefined, 'it serves nobody');
});
