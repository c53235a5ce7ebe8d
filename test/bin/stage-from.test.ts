// Whose table and buckets the audit and journal commands go by: the rehearsal that runs here, unless something is named.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { stageFrom } from '../../bin/routing/where.ts';

const folder = mkdtempSync(join(tmpdir(), 'stage-from-'));
const state = join(folder, 'rehearsal.json');
const none = join(folder, 'none.json');
const aws = { endpoint: 'http://127.0.0.1:4602', accessKeyId: 'AKIA', secretAccessKey: 'secret' };
writeFileSync(state, JSON.stringify({ stage: 'dev', table: 'rehearsed-records', aws, regions: [] }));
const { AWS_ENDPOINT_URL: before } = process.env;
delete process.env['AWS_ENDPOINT_URL'];

afterEach(() => delete process.env['AWS_ENDPOINT_URL']);
after(() => {
  if (before !== undefined) process.env['AWS_ENDPOINT_URL'] = before;
  rmSync(folder, { recursive: true });
});

test('the rehearsal that runs here is gone by, with its own keys', async () => {
  assert.deepEqual(await stageFrom({ state }), {
    stage: 'dev',
    table: {
      name: 'rehearsed-records',
      endpoint: 'http://127.0.0.1:4602',
      credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
    },
  });
});

test('a stage or an endpoint that is named is never the rehearsal', async () => {
  assert.deepEqual(await stageFrom({ stage: 'prod', state }), {
    stage: 'prod',
    table: { name: 'eden-field-prod-records' },
  });
  assert.deepEqual(await stageFrom({ endpoint: 'http://elsewhere', state }), {
    stage: 'dev',
    table: { name: 'eden-field-dev-records', endpoint: 'http://elsewhere' },
  });
  process.env['AWS_ENDPOINT_URL'] = 'http://elsewhere';
  assert.deepEqual(await stageFrom({ state }), { stage: 'dev', table: { name: 'eden-field-dev-records' } });
});

test('without a rehearsal it is stage dev, and a word that cannot be read is no rehearsal', async () => {
  assert.deepEqual(await stageFrom({ state: none }), {
    stage: 'dev',
    table: { name: 'eden-field-dev-records' },
  });
  writeFileSync(none, 'not JSON');
  await assert.rejects(stageFrom({ state: none }), /expected what npm start writes, got no JSON/);
});
