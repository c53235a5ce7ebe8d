// The rehearsal's AWS as an SDK meets it: signatures, permissions, regions and the network between them, in this
// process and in one of its own.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient, GetItemCommand, ListTablesCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { recordsSchema } from '../../rehearsal/aws/start-table.ts';
import type {
  AwsProcessOptions,
  FromAwsProcess,
  StorageOrder,
  ToAwsProcess,
} from '../../rehearsal/supervisor/messages.ts';
import { roundTripMs } from '../../rehearsal/supervisor/round-trips.ts';
import {
  ACCOUNT,
  deploymentOf,
  KEY_ID,
  keyArn,
  keys,
  PRIMARY,
  QUORUM,
  REGIONS,
  recordsTable,
  role,
  roleArn,
  STANDBY,
  TABLE,
  tableArn,
} from './fake-deployment.ts';

const through = {
  StringEquals: { 'kms:ViaService': REGIONS.map((region) => `dynamodb.${region}.amazonaws.com`) },
};
const allow = (
  Action: string | readonly string[],
  Resource: string | readonly string[],
  Condition?: object,
) => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...(Condition && { Condition }),
});
const writer = role('writer', [
  allow(['dynamodb:PutItem', 'dynamodb:GetItem'], REGIONS.map(tableArn)),
  allow(
    ['kms:Decrypt', 'kms:Encrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*'],
    REGIONS.map(keyArn),
    through,
  ),
]);
const reader = role('reader', [allow('dynamodb:GetItem', tableArn(PRIMARY))]);
const key = { pk: { S: 'a' }, sk: { S: 'STATE' } };

let aws: Aws;
const clients: { destroy(): void }[] = [];
before(async () => {
  aws = await startAws({
    deployment: deploymentOf(recordsTable(), ...keys(), writer, reader),
    refusalMs: 50,
    hangMs: 400,
  });
});
after(async () => {
  for (const client of clients) client.destroy();
  await aws.close();
});

/** How a principal in one region calls the services of another, trying once. */
function configOf(principal: string, region: string = PRIMARY, from = region) {
  return { region, endpoint: aws.endpoint, credentials: credentialsOf(principal, from), maxAttempts: 1 };
}
function dynamodb(principal: string, region?: string, from?: string) {
  const client = new DynamoDBClient(configOf(principal, region, from));
  clients.push(client);
  return client;
}
function kms(principal: string, region?: string) {
  const client = new KMSClient(configOf(principal, region));
  clients.push(client);
  return client;
}
const get = () => new GetItemCommand({ TableName: TABLE, Key: key });
const put = () => new PutItemCommand({ TableName: TABLE, Item: key });

describe('who calls', () => {
  test('an access key nobody has is not recognised', async () => {
    const client = new DynamoDBClient({
      ...configOf(OPERATOR),
      credentials: { accessKeyId: 'AKIANOBODY', secretAccessKey: 'x' },
    });
    clients.push(client);
    await assert.rejects(client.send(new ListTablesCommand({})), { name: 'UnrecognizedClientException' });
  });

  test('a wrong secret is refused by every service', async () => {
    const credentials = { ...credentialsOf(OPERATOR, PRIMARY), secretAccessKey: 'wrong' };
    const refused = { name: 'InvalidSignatureException' };
    const [table, crypt] = [
      new DynamoDBClient({ ...configOf(OPERATOR), credentials }),
      new KMSClient({ ...configOf(OPERATOR), credentials }),
    ];
    clients.push(table, crypt);
    await assert.rejects(table.send(new ListTablesCommand({})), refused);
    await assert.rejects(
      crypt.send(new GenerateDataKeyCommand({ KeyId: KEY_ID, KeySpec: 'AES_256' })),
      refused,
    );
  });

  test('an unsigned request and one with half a signature are refused', async () => {
    const post = async (headers: Record<string, string>) => {
      const response = await fetch(aws.endpoint, { method: 'POST', body: '{}', headers });
      return [response.status, ((await response.json()) as { __type: string }).__type];
    };
    assert.deepEqual(await post({}), [400, 'com.amazon.coral.service#MissingAuthenticationTokenException']);
    assert.deepEqual(await post({ authorization: 'AWS4-HMAC-SHA256 Credential=x' }), [
      400,
      'com.amazon.coral.service#IncompleteSignatureException',
    ]);
  });

  test('a body changed on its way is refused', async () => {
    const client = dynamodb(OPERATOR);
    client.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { body: string };
        request.body = request.body.replace('"S":"a"', '"S":"b"');
        return next(args);
      },
      { step: 'deserialize', priority: 'low' },
    );
    await assert.rejects(client.send(get()), { name: 'InvalidSignatureException' });
  });
});

describe('what a caller may do', () => {
  test('a role does what its policies allow, through the key of the table', async () => {
    await dynamodb(roleArn('writer')).send(put());
    const { Item } = await dynamodb(roleArn('writer'), STANDBY).send(
      new GetItemCommand({ TableName: TABLE, Key: key, ConsistentRead: true }),
    );
    assert.deepEqual(Item, key);
  });

  test('and nothing else', async () => {
    await assert.rejects(dynamodb(roleArn('reader')).send(put()), {
      name: 'AccessDeniedException',
      message: new RegExp(
        `assumed-role/reader/.* is not authorized to perform: dynamodb:PutItem on resource: ${tableArn(PRIMARY)} `,
      ),
    });
    await assert.rejects(dynamodb(roleArn('writer')).send(new ListTablesCommand({})), {
      name: 'AccessDeniedException',
    });
  });

  test('a table is of no use without its key', async () => {
    await assert.rejects(dynamodb(roleArn('reader')).send(get()), {
      name: 'AccessDeniedException',
      message: /kms:Decrypt on resource/,
    });
  });

  test('a key allowed through DynamoDB is not allowed directly', async () => {
    await assert.rejects(
      kms(roleArn('writer')).send(new GenerateDataKeyCommand({ KeyId: KEY_ID, KeySpec: 'AES_256' })),
      {
        name: 'AccessDeniedException',
      },
    );
  });

  test('a key whose policy does not leave decisions to the account lets nobody else in', async () => {
    const policy = {
      Statement: { Effect: 'Allow', Principal: { AWS: roleArn('named') }, Action: 'kms:*', Resource: '*' },
    };
    const statements = [allow('kms:GenerateDataKey', '*')];
    const other = await startAws({
      deployment: deploymentOf(...keys(policy), role('named', []), role('any', statements)),
    });
    const command = new GenerateDataKeyCommand({ KeyId: KEY_ID, KeySpec: 'AES_256' });
    const client = (name: string) => {
      const made = new KMSClient({ ...configOf(roleArn(name)), endpoint: other.endpoint });
      clients.push(made);
      return made;
    };
    await client('named').send(command);
    await assert.rejects(client('any').send(command), {
      name: 'AccessDeniedException',
      message: /because no resource-based policy allows the kms:GenerateDataKey action/,
    });
    await other.close();
  });

  test('permissions used and never used can be asked for', async () => {
    const response = await fetch(`${aws.endpoint}/permissions`);
    const { unused, used } = (await response.json()) as Record<
      string,
      readonly { action: string; resource: string }[]
    >;
    assert.ok(used?.some(({ action }) => action === 'dynamodb:PutItem'));
    assert.ok(unused?.some(({ resource }) => resource === keyArn(QUORUM)));
  });
});

test('data keys made in one region are opened in another', async () => {
  const { CiphertextBlob, Plaintext } = await kms(OPERATOR).send(
    new GenerateDataKeyCommand({ KeyId: keyArn(PRIMARY), KeySpec: 'AES_256' }),
  );
  const opened = await kms(OPERATOR, STANDBY).send(new DecryptCommand({ CiphertextBlob }));
  assert.deepEqual(opened.Plaintext, Plaintext);
  aws.kms.setEnabled(STANDBY, false);
  await assert.rejects(kms(OPERATOR, STANDBY).send(new DecryptCommand({ CiphertextBlob })), {
    name: 'DisabledException',
  });
  aws.kms.setEnabled(STANDBY, true);
});

test('a service that is not played is named in the refusal', async () => {
  const client = new LambdaClient(configOf(OPERATOR));
  clients.push(client);
  await assert.rejects(client.send(new ListFunctionsCommand({})), {
    name: 'NotRehearsed',
    message: 'The rehearsal does not play lambda; it plays dynamodb, kms, sts',
  });
});

test('STS says who one is', async () => {
  const client = dynamodb(roleArn('writer'));
  const { hostname, port, protocol } = new URL(aws.endpoint);
  const body = 'Action=GetCallerIdentity&Version=2011-06-15';
  const signer = await client.config.signer();
  const request = {
    method: 'POST',
    protocol,
    hostname,
    port: Number(port),
    path: '/',
    query: {},
    headers: { host: `${hostname}:${port}`, 'content-type': 'application/x-www-form-urlencoded' },
    body,
  };
  const { headers } = await signer.sign(request, { signingService: 'sts', signingRegion: PRIMARY });
  const answer = await (await fetch(aws.endpoint, { method: 'POST', headers, body })).text();
  assert.match(answer, new RegExp(`<Arn>arn:aws:sts::${ACCOUNT}:assumed-role/writer/rehearsal</Arn>`));
  assert.match(answer, new RegExp(`<Account>${ACCOUNT}</Account>`));
});

describe('between regions', () => {
  const link = (state: { cut?: boolean; delayMs?: number }) =>
    aws.links.set([{ between: [PRIMARY, STANDBY], cut: false, delayMs: 0, ...state }]);

  test('a call to another region takes the round trip, one at home does not', async () => {
    link({ delayMs: 40 });
    const timed = async (client: DynamoDBClient) => {
      await client.send(get());
      const start = performance.now();
      await client.send(get());
      return performance.now() - start;
    };
    const abroad = await timed(dynamodb(OPERATOR, STANDBY, PRIMARY));
    assert.ok(abroad >= 78 && abroad < 140, `took ${abroad} ms of 80`);
    const home = await timed(dynamodb(OPERATOR, PRIMARY));
    assert.ok(home < 40, `took ${home} ms`);
    link({});
  });

  test('a call over a cut link hangs, and its connection breaks in the end', async () => {
    link({ cut: true });
    const start = performance.now();
    await assert.rejects(dynamodb(OPERATOR, STANDBY, PRIMARY).send(get()));
    assert.ok(performance.now() - start >= 390);
    link({});
  });

  test('a call over a cut link that heals arrives late', async () => {
    link({ cut: true });
    const calling = dynamodb(OPERATOR, STANDBY, PRIMARY).send(get());
    await sleep(100);
    link({});
    assert.equal((await calling).$metadata.httpStatusCode, 200);
  });

  test('a write whose caller gave up over a cut link never lands', async () => {
    link({ cut: true });
    const Item = { ...key, pk: { S: 'abandoned' } };
    const abandoned = dynamodb(OPERATOR, STANDBY, PRIMARY).send(
      new PutItemCommand({ TableName: TABLE, Item }),
      {
        abortSignal: AbortSignal.timeout(50),
      },
    );
    await assert.rejects(abandoned);
    await sleep(50);
    link({});
    await sleep(50);
    const read = new GetItemCommand({ TableName: TABLE, Key: Item, ConsistentRead: true });
    assert.equal((await dynamodb(OPERATOR).send(read)).Item, undefined);
  });

  test('a dead region answers nothing of its own', async () => {
    aws.links.setUp(QUORUM, false);
    await assert.rejects(
      kms(OPERATOR, QUORUM).send(new GenerateDataKeyCommand({ KeyId: KEY_ID, KeySpec: 'AES_256' })),
    );
    aws.links.setUp(QUORUM, true);
  });
});

test('round trips are the same both ways, nothing at home, and far to everywhere unknown', () => {
  assert.equal(roundTripMs(PRIMARY, STANDBY), 50);
  assert.equal(roundTripMs(STANDBY, PRIMARY), 50);
  assert.equal(roundTripMs('client', PRIMARY), 16);
  assert.equal(roundTripMs(PRIMARY, PRIMARY), 0);
  assert.equal(roundTripMs('eu-west-1', PRIMARY), 80);
  assert.equal(roundTripMs('checkers', PRIMARY), 80);
});

test('a table with another consistency is refused at start', async () => {
  const deployment = deploymentOf(recordsTable({ MultiRegionConsistency: undefined }));
  await assert.rejects(
    startAws({ deployment }),
    /MultiRegionConsistency: the rehearsal plays STRONG, got undefined/,
  );
});

test('as a process: ready with its port, told of cuts and dead replicas, gone with its parent', async () => {
  const assemblyDir = mkdtempSync(join(tmpdir(), 'assembly-'));
  const child = fork(join(import.meta.dirname, '../../rehearsal/aws/aws.ts'), [
    JSON.stringify(optionsFor(assemblyDir)),
  ]);
  try {
    const [ready] = (await once(child, 'message')) as [FromAwsProcess];
    assert.equal(ready.type, 'ready');
    const endpoint = `http://127.0.0.1:${'port' in ready ? ready.port : 0}`;
    const client = new DynamoDBClient({ ...configOf(OPERATOR), endpoint });
    clients.push(client);
    await client.send(put());
    const tell = (message: ToAwsProcess) => child.send(message);
    tell({ type: 'replica', region: STANDBY, up: false });
    tell({ type: 'links', links: [{ between: [PRIMARY, QUORUM], cut: true, delayMs: 0 }] });
    await sleep(50);
    await assert.rejects(client.send(put()), { name: 'InternalServerError' });
    tell({ type: 'replica', region: STANDBY, up: true });
    await sleep(50);
    await client.send(put());
    const order = async (id: number, what: StorageOrder) => {
      tell({ type: 'order', id, order: what });
      const [said] = (await once(child, 'message')) as [FromAwsProcess];
      assert.ok(said.type === 'done' && said.id === id, JSON.stringify(said));
      return said.outcome;
    };
    assert.deepEqual(await order(1, { what: 'advance', ms: 86_400_000 }), { answer: [] });
    assert.deepEqual(await order(2, { what: 'wipe', table: TABLE }), { answer: [TABLE] });
    assert.deepEqual(await order(3, { what: 'wipe', table: 'other' }), {
      error: `a table is one of ${TABLE}, got "other"`,
      refused: true,
    });
    const { Item } = await client.send(
      new GetItemCommand({ TableName: TABLE, Key: key, ConsistentRead: true }),
    );
    assert.equal(Item, undefined);
    child.disconnect();
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
  } finally {
    child.kill('SIGKILL');
    rmSync(assemblyDir, { recursive: true });
  }
});

/** Writes the smallest assembly that has the table, and gives what starts a process on it. */
function optionsFor(assemblyDir: string): AwsProcessOptions {
  const { TableName, ...schema } = recordsSchema(TABLE);
  const replicas = REGIONS.map((region) => ({ Region: region }));
  const table = { TableName, ...schema, MultiRegionConsistency: 'STRONG', Replicas: replicas };
  const template = { Resources: { Table: { Type: 'AWS::DynamoDB::GlobalTable', Properties: table } } };
  const stack = {
    type: 'aws:cloudformation:stack',
    environment: `aws://unknown-account/${PRIMARY}`,
    properties: { templateFile: 'data.template.json', stackName: 'eden-field-dev-data' },
  };
  const manifest = { version: '48.0.0', artifacts: { 'eden-field-dev-data': stack } };
  writeFileSync(join(assemblyDir, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(join(assemblyDir, 'data.template.json'), JSON.stringify(template));
  return { assemblyDir, account: ACCOUNT, port: 0, links: [] };
}
