// What the stacks tell the backup functions, and that what they cannot use stops them at their start.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError, readLocks, readOffsite, readTableArn, readThirdCopy } from '../../lambdas/env.ts';

test('where the offsite copies go is told in one Region, and to none in the others', () => {
  const offsite = { bucket: 'offsite', keyArn: 'arn:aws:kms:us-east-1:000000000000:key/k' };
  assert.deepEqual(readOffsite({ OFFSITE: JSON.stringify(offsite) }), offsite);
  const elsewhere = { ...offsite, owner: '999999999999' };
  assert.deepEqual(readOffsite({ OFFSITE: JSON.stringify(elsewhere) }), elsewhere);
  assert.equal(readOffsite({}), undefined);
  for (const text of [
    ...['x', '[]', '{"bucket":"offsite"}', '{"bucket":"","keyArn":"k"}', 'null'],
    ...['{"bucket":"b","keyArn":"k","owner":"99"}', '{"bucket":"b","keyArn":"k","owner":999999999999}'],
  ])
    assert.throws(() => readOffsite({ OFFSITE: text }), EnvironmentError, text);
});

test('where the copies stand that count as the third is told without a third Region, and else nothing', () => {
  const third = { bucket: 'offsite', region: 'us-gov-east-1' };
  assert.deepEqual(readThirdCopy({ THIRD_COPY: JSON.stringify(third) }), third);
  assert.equal(readThirdCopy({}), undefined);
  for (const text of ['x', '[]', '{"bucket":"offsite"}', '{"bucket":"b","region":""}', 'null'])
    assert.throws(() => readThirdCopy({ THIRD_COPY: text }), EnvironmentError, text);
});

test('locks are told by mode and days', () => {
  const locks = { mode: 'COMPLIANCE', days: { daily: 30 } };
  assert.deepEqual(readLocks({ BACKUP_LOCKS: JSON.stringify(locks) }), locks);
  for (const text of [
    '',
    'x',
    'null',
    '{"mode":"NONE","days":{}}',
    '{"mode":"GOVERNANCE"}',
    '{"mode":"GOVERNANCE","days":{"daily":0}}',
    '{"mode":"GOVERNANCE","days":{"daily":"30"}}',
  ])
    assert.throws(() => readLocks({ BACKUP_LOCKS: text }), EnvironmentError, text);
  assert.throws(() => readTableArn({}), /TABLE_ARN: expected a value/);
});
