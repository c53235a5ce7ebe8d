// Queues as the rehearsal plays them: those of the templates, by an ordinary SDK, under their permissions and their key;
// and a function that is fed from one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteMessageCommand,
  GetQueueUrlCommand,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { AssemblyError } from '../../rehearsal/assembly/assembly.ts';
import { type Aws, startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import { signedCall } from '../../rehearsal/aws/signed-call.ts';
import { type QueueMapping, queueMappingsOf } from '../../rehearsal/region/queue-mappings.ts';
import { QueueSource } from '../../rehearsal/region/queue-source.ts';
import {
  ACCOUNT,
  deploymentOf,
  keyArn,
  keys,
  PRIMARY,
  recordsTable,
  resource,
  role,
  roleArn,
  STANDBY,
} from './fake-deployment.ts';

const arnOf = (name: string, region: string = PRIMARY) => `arn:aws:sqs:${region}:${ACCOUNT}:${name}`;
const urlOf = (name: string, region: string = PRIMARY) =>
  `https://sqs.${region}.amazonaws.com/${ACCOUNT}/${name}`;
const queue = (name: string, properties: object = {}, region: string = PRIMARY) =>
  resource(
    'AWS::SQS::Queue',
    { QueueName: name, KmsMasterKeyId: keyArn(region), ...properties },
    { region, physicalId: urlOf(name, region), arn: arnOf(name, region) },
  );
const viaSqs = { StringEquals: { 'kms:ViaService': `sqs.${PRIMARY}.amazonaws.com` } };
const DEPLOYMENT = deploymentOf(
  ...keys(),
  recordsTable(),
  queue('failed'),
  queue('tasks', {
    VisibilityTimeout: 1,
    RedrivePolicy: { deadLetterTargetArn: arnOf('failed'), maxReceiveCount: 2 },
  }),
  queue('tasks', {}, STANDBY),
  role('worker', [
    {
      Effect: 'Allow',
      Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'],
      Resource: arnOf('tasks'),
    },
    { Effect: 'Allow', Action: 'kms:Decrypt', Resource: keyArn(PRIMARY), Condition: viaSqs },
  ]),
  role('keyless', [{ Effect: 'Allow', Action: 'sqs:*', Resource: '*' }]),
);
let aws: Aws;
const open: { destroy(): void }[] = [];

before(async () => {
  aws = await startAws({ deployment: DEPLOYMENT });
});
after(async () => {
  for (const it of open) it.destroy();
  await aws.close();
});

function clientOf(principalArn: string, region: string = PRIMARY): SQSClient {
  const client = new SQSClient({
    ...{ region, endpoint: aws.endpoint, maxAttempts: 1, useQueueUrlAsEndpoint: false },
    credentials: credentialsOf(principalArn, region),
  });
  open.push(client);
  return client;
}

/** Everything that is shown at once. */
async function shown(client: SQSClient, QueueUrl: string) {
  const { Messages = [] } = await client.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, VisibilityTimeout: 30 }),
  );
  return Messages;
}

test('what is sent is received and deleted, and each region has queues of its own', async () => {
  const [here, there] = [clientOf(OPERATOR), clientOf(OPERATOR, STANDBY)];
  const { QueueUrl = '' } = await there.send(new GetQueueUrlCommand({ QueueName: 'tasks' }));
  assert.equal(QueueUrl, urlOf('tasks', STANDBY));
  const Entries = ['a', 'b'].map((MessageBody, at) => ({ Id: String(at), MessageBody }));
  const { Successful = [] } = await there.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  assert.equal(Successful.length, 2);
  assert.deepEqual(await shown(here, urlOf('tasks')), []);
  const messages = await shown(there, QueueUrl);
  assert.deepEqual(messages.map(({ Body }) => Body).sort(), ['a', 'b']);
  for (const { ReceiptHandle } of messages)
    await there.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  await assert.rejects(there.send(new GetQueueUrlCommand({ QueueName: 'failed' })), QueueDoesNotExist);
});

test('only for whom the policies allow it, the key included', async () => {
  const worker = clientOf(roleArn('worker'));
  const send = (client: SQSClient) =>
    client.send(new SendMessageCommand({ QueueUrl: urlOf('tasks'), MessageBody: 'x' }));
  await assert.rejects(send(worker), /sqs:SendMessage/);
  await assert.rejects(shown(worker, urlOf('failed')), /sqs:ReceiveMessage/);
  await assert.rejects(send(clientOf(roleArn('keyless'))), /kms:GenerateDataKey/);
  assert.deepEqual(await shown(worker, urlOf('tasks')), []);
});

const mapping: QueueMapping = {
  ...{ id: 'm', arn: 'arn:m', functionName: 'restore:live' },
  ...{ queueArn: arnOf('tasks'), queueUrl: urlOf('tasks') },
  ...{ batchSize: 1, concurrencyMax: 3, reportsItemFailures: true },
};

test('a function is given every message, so many at once; what it fails at comes again and is then put aside', async () => {
  const operator = clientOf(OPERATOR);
  const given: string[] = [];
  let [running, most] = [0, 0];
  const logs: string[] = [];
  const source = new QueueSource({
    ...{ mapping, region: PRIMARY },
    call: (operation, input) =>
      signedCall(
        {
          ...{ endpoint: aws.endpoint, region: PRIMARY, service: 'sqs', timeoutMs: 30_000 },
          credentials: credentialsOf(roleArn('worker'), PRIMARY),
        },
        `AmazonSQS.${operation}`,
        { ...input, ...(operation === 'ReceiveMessage' && { WaitTimeSeconds: 1 }) },
      ),
    async invoke(payload) {
      const { Records } = JSON.parse(payload);
      const [{ messageId, body, eventSource, attributes }] = Records;
      assert.equal(eventSource, 'aws:sqs');
      running += 1;
      most = Math.max(most, running);
      await sleep(20);
      running -= 1;
      given.push(`${body} ${attributes.ApproximateReceiveCount}`);
      const batchItemFailures = body === 'poison' ? [{ itemIdentifier: messageId }] : [];
      return { payload: JSON.stringify({ batchItemFailures }) };
    },
    onLog: (line) => logs.push(line),
    wait: (ms) => sleep(ms),
  });
  const Entries = ['a', 'b', 'c', 'd', 'e', 'poison'].map((MessageBody, at) => ({
    Id: String(at),
    MessageBody,
  }));
  await operator.send(new SendMessageBatchCommand({ QueueUrl: urlOf('tasks'), Entries }));
  let aside: readonly { readonly Body?: string | undefined }[] = [];
  for (let looks = 0; looks < 80 && aside.length === 0; looks += 1) {
    await sleep(100);
    aside = await shown(operator, urlOf('failed'));
  }
  await source.close();
  assert.deepEqual(
    aside.map(({ Body }) => Body),
    ['poison'],
  );
  assert.deepEqual(given.sort(), ['a 1', 'b 1', 'c 1', 'd 1', 'e 1', 'poison 1', 'poison 2']);
  assert.equal(most, 3);
  assert.deepEqual(logs, []);
});

test('a mapping of a queue is what its template says; what Lambda would not take is refused', () => {
  const mapped = (properties: object) =>
    queueMappingsOf(
      deploymentOf(
        queue('tasks'),
        resource(
          'AWS::Lambda::EventSourceMapping',
          { EventSourceArn: arnOf('tasks'), FunctionName: 'restore:live', ...properties },
          { physicalId: 'm', arn: 'arn:m' },
        ),
      ),
      PRIMARY,
    );
  assert.deepEqual(
    mapped({
      ...{ BatchSize: 1, ScalingConfig: { MaximumConcurrency: 3 } },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    }).mappings,
    [mapping],
  );
  assert.partialDeepStrictEqual(mapped({}).mappings[0], {
    batchSize: 10,
    concurrencyMax: 5,
    reportsItemFailures: false,
  });
  assert.deepEqual(mapped({ Enabled: false }).mappings, []);
  assert.deepEqual(mapped({ FilterCriteria: {} }).notRehearsed, [
    'stack/EventSourceMappingA: AWS::Lambda::EventSourceMapping FilterCriteria',
  ]);
  for (const properties of [
    { BatchSize: 0 },
    { ScalingConfig: { MaximumConcurrency: 1 } },
    { EventSourceArn: arnOf('another') },
  ])
    assert.throws(() => mapped(properties), AssemblyError, JSON.stringify(properties));
});
