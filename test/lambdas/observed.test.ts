// What an observer is told to watch: taken whole, or refused when the function starts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError, readObserved } from '../../lambdas/env.ts';
import { REGIONS } from './functions.ts';

const { primary, standby, quorum } = REGIONS;
const OBSERVED = {
  endpoints: { [primary]: 'https://api.us-east-2.example.com', [standby]: 'http://127.0.0.1:8080' },
  controls: {
    [primary]: 'https://dynamodb.us-east-2.amazonaws.com/',
    [standby]: 'https://dynamodb.us-west-2.amazonaws.com/',
    [quorum]: 'http://127.0.0.1:9000/reach/a/b',
  },
  probeIntervalMs: 15_000,
  probeFailures: 3,
};
const told = (observed: unknown) => ({
  EDEN_STAGE: 'dev',
  EDEN_ROLE: 'quorum',
  AWS_REGION: quorum,
  EDEN_REGIONS: JSON.stringify(REGIONS),
  OBSERVED: typeof observed === 'string' ? observed : JSON.stringify(observed),
});

test('what is watched is read as it was set, and may be nothing', () => {
  assert.deepEqual(readObserved(told(OBSERVED)), OBSERVED);
  const { OBSERVED: _, ...nothing } = told('');
  for (const source of [nothing, told('')]) assert.equal(readObserved(source), undefined);
});

for (const [what, over] of [
  ['no endpoints', { endpoints: undefined }],
  ['a list of endpoints', { endpoints: [OBSERVED.endpoints[primary]] }],
  ['an endpoint of one serving region only', { endpoints: { [primary]: 'https://a' } }],
  ['an endpoint that is no URL', { endpoints: { ...OBSERVED.endpoints, [standby]: 'api.example.com' } }],
  ['an endpoint that is empty', { endpoints: { ...OBSERVED.endpoints, [standby]: '' } }],
  ['an endpoint of another kind', { endpoints: { ...OBSERVED.endpoints, [standby]: 'ftp://a' } }],
  ['no controls', { controls: {} }],
  ['no control of the quorum region', { controls: { [primary]: 'https://a', [standby]: 'https://b' } }],
  ['no interval', { probeIntervalMs: undefined }],
  ['an interval in words', { probeIntervalMs: '15 s' }],
  ['an interval of nothing', { probeIntervalMs: 0 }],
  ['an interval that is no part of a minute', { probeIntervalMs: 14_000 }],
  ['one failure that is enough', { probeFailures: 1 }],
  ['half a failure', { probeFailures: 2.5 }],
] as const)
  test(`${what}: refused by its name, with what was expected and what came`, () => {
    const observed = { ...OBSERVED, ...over };
    assert.throws(
      () => readObserved(told(observed)),
      (error) =>
        error instanceof EnvironmentError &&
        error.message.startsWith('environment variable OBSERVED: expected {"endpoints":') &&
        error.message.includes(`got ${JSON.stringify(JSON.stringify(observed))}`),
    );
  });

test('what is no JSON, or no object, is refused', () => {
  assert.throws(() => readObserved(told('{')), /OBSERVED: expected JSON/);
  for (const text of ['null', '3', '[]']) assert.throws(() => readObserved(told(text)), EnvironmentError);
});
