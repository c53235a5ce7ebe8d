// Options: defaults, and refusals that say what came.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOptions } from '../../client/options.ts';

const URLS = ['https://a.example', 'https://b.example'];

test('an explicit undefined is the same as leaving an option out', () => {
  const given: Record<string, unknown> = { patienceMs: undefined };
  assert.equal(checkOptions({ endpoints: URLS, ...given }).patienceMs, 50);
});

const REFUSED: readonly [string, Record<string, unknown>, RegExp][] = [
  ['no endpoint', { endpoints: [] }, /at least one URL, got \[\]/],
  ['no list', { endpoints: 'https://a' }, /at least one URL, got "https:\/\/a"/],
  ['another scheme', { endpoints: ['ftp://a'] }, /http or https URL, got "ftp:\/\/a"/],
  ['no URL', { endpoints: ['a b'] }, /http or https URL, got "a b"/],
  [
    'a query',
    { endpoints: ['https://a.example/x?y=1'] },
    /no query, fragment or password, got https:\/\/a.example\/x/,
  ],
  [
    'a password, which it does not repeat',
    { endpoints: ['https://u:secret@a.example'] },
    /got https:\/\/a.example\/$/,
  ],
  ['one endpoint twice', { endpoints: ['https://a', 'https://a'] }, /differ from one another/],
  ['NaN', { patienceMs: Number.NaN }, /patienceMs is a whole number from 1 to 60000, got NaN/],
  ['a negative', { deadlineMs: -1 }, /deadlineMs .* got -1/],
  ['more than a timer takes', { deadlineMs: 2 ** 31 }, /deadlineMs .* got 2147483648/],
  ['a string for a number', { unhealthyAfter: '3' }, /unhealthyAfter .* got "3"/],
  ['a ratio above 1', { retryRatio: 1.5 }, /retryRatio is a number from 0 to 1, got 1.5/],
  ['a limit below its base', { backoffBaseMs: 100, backoffMaxMs: 50 }, /backoffMaxMs .* from 100 .* got 50/],
  [
    'more spares than connections',
    { connectionsMax: 2, spareConnections: 3 },
    /spareConnections .* to 2, got 3/,
  ],
  ['a number for a switch', { fallback: 0 }, /fallback is true or false, got 0/],
  ['a token that is no function', { token: 'abc' }, /token is a function, got "abc"/],
];
for (const [name, options, message] of REFUSED)
  test(`refuses ${name}`, () => {
    assert.throws(() => checkOptions({ endpoints: URLS, ...options }), message);
  });
