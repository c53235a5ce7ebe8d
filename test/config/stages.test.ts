// The stages as they are shipped.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineConfig, MRSC_REGION_SETS, partitionOf, ROLES, regionsOf } from '../../config/config.ts';
import { BATCH } from '../../config/promises.ts';
import { STAGES } from '../../config/stages.ts';
import { BATCH_OPERATIONS_MAX, BATCH_WAIT_MS } from '../../protocol/limits.ts';

test('there is a stage to try things in, one to keep and one for GovCloud', () => {
  assert.deepEqual(Object.keys(STAGES), ['dev', 'prod', 'gov']);
  assert.equal(STAGES['dev']?.retainData, false);
  assert.equal(STAGES['prod']?.retainData, true);
  assert.equal(STAGES['gov']?.retainData, true);
});

test('gov has two Regions of GovCloud, no domain, and another account for the third copy', () => {
  const raw = STAGES['gov'];
  assert.ok(raw);
  assert.equal(raw.consistency, 'eventual');
  assert.deepEqual(regionsOf(raw), ['us-gov-west-1', 'us-gov-east-1']);
  assert.deepEqual(regionsOf(raw).map(partitionOf), ['aws-us-gov', 'aws-us-gov']);
  assert.equal(raw.domain, undefined);
  assert.match(raw.thirdCopyAccount ?? '', /^\d{12}$/);
  assert.match(raw.account ?? '', /^\d{12}$/);
  assert.notEqual(raw.account, raw.thirdCopyAccount);
});

for (const [stage, raw] of Object.entries(STAGES)) {
  test(`${stage} is accepted as it stands`, () => {
    assert.equal(defineConfig(stage, raw).stage, stage);
  });

  if (raw.consistency === 'strong')
    test(`${stage} votes, but does not serve, where the largest outages are`, () => {
      assert.equal(raw.regions.quorum, 'us-east-1');
    });

  test(`${stage} names nobody's domain, zone or keys`, () => {
    if (raw.domain) assert.match(raw.domain.name, /\.example$/);
    assert.match(raw.auth.issuer, /\.example\/$/);
    assert.match(raw.onCall.email, /\.example$/);
    for (const key of raw.auth.keySet.keys) assert.match(String(key['kid']), /replace-me/);
  });
}

test('every set of three MRSC Regions is accepted, whichever serves', () => {
  const raw = STAGES['dev'];
  assert.ok(raw?.consistency === 'strong');
  for (const set of Object.values(MRSC_REGION_SETS))
    for (const primary of set)
      for (const standby of set)
        for (const quorum of set) {
          if (new Set([primary, standby, quorum]).size !== ROLES.length) continue;
          const regions = { primary, standby, quorum };
          assert.deepEqual(defineConfig('dev', { ...raw, regions }).regions, regions);
        }
});

test('the wire and the promises agree on a batch', () => {
  assert.equal(BATCH_OPERATIONS_MAX, BATCH.operationsMax);
  assert.equal(BATCH_WAIT_MS, BATCH.waitMs);
});
