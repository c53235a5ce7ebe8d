// Which buckets a restore reads from, stage by stage: the offsite one is in another account where there is no third Region.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { openPlaces } from '../../bin/restore/places.ts';
import type { Config } from '../../config/config.ts';
import { DEV, GOV } from '../lib/assembly.ts';

const ACCOUNT = '111111111111';
const looked: string[] = [];
let refused = '';
const server = createServer((request, response) => {
  const [bucket = ''] = new URL(request.url ?? '', 'http://s3').pathname.slice(1).split('/');
  looked.push(bucket);
  response.setHeader('content-type', 'application/xml');
  if (bucket === refused)
    response.writeHead(403).end('<Error><Code>AccessDenied</Code><Message>not you</Message></Error>');
  else response.end('<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>');
});
before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => server.close());

function placesOf(config: Config) {
  looked.length = 0;
  return openPlaces({
    config,
    stage: config.stage,
    account: ACCOUNT,
    address: {
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'none' },
    },
  });
}

for (const [config, offsite] of [
  [DEV, `eden-field-dev-offsite-us-east-1-${ACCOUNT}`],
  [GOV, 'eden-field-gov-offsite-us-gov-east-1-999999999999'],
] as const)
  test(`${config.stage}: every Region's bucket, and ${offsite}`, async () => {
    const places = await placesOf(config);
    const regions = Object.values(config.regions);
    assert.deepEqual(
      looked.toSorted(),
      [...regions.map((region) => `eden-field-${config.stage}-backup-${region}-${ACCOUNT}`), offsite].sort(),
    );
    const [last] = places.sources.slice(-1);
    assert.deepEqual(
      [last?.name, last?.isJournal],
      [`${offsite.split('-offsite-')[1]?.replace(/-\d{12}$/, '')} offsite`, false],
    );
    assert.deepEqual(places.silent, []);
    places.close();
  });

test('another account that lets nobody in is left out and named, and the others are read', async () => {
  refused = 'eden-field-gov-offsite-us-gov-east-1-999999999999';
  const places = await placesOf(GOV);
  assert.deepEqual(
    places.sources.map(({ name }) => name),
    ['us-gov-west-1', 'us-gov-east-1'],
  );
  assert.deepEqual(places.silent, [{ name: 'us-gov-east-1 offsite', why: 'not you' }]);
  places.close();
  refused = '';
});
