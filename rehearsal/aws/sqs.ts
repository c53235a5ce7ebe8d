// SQS over the queues of the templates, kept by fauxqs in memory and called in this process, without a socket: it has
// visibility, redrive and long polling. What is added here is who may call, under which key, and what a queue is called.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
import type { Resource } from '../assembly/assembly.ts';
import type { Access } from './iam-policy.ts';
import { ServiceError } from './service-error.ts';

type Json = Readonly<Record<string, unknown>>;

export interface SqsCall {
  /** E.g. `SendMessage`. */
  readonly operation: string;
  readonly input: Json;
  /** The region whose endpoint is called. */
  readonly region: string;
  /** @throws {ServiceError} AccessDeniedException */
  readonly authorize: (access: Access) => void;
}

interface Queue {
  readonly name: string;
  readonly region: string;
  readonly url: string;
  readonly arn: string;
  readonly keyArn: string | undefined;
}

/** Of fauxqs' HTTP server, what is used: a request to it that never leaves the process. */
interface Injectable {
  inject(request: {
    method: 'POST';
    url: string;
    headers: Readonly<Record<string, string>>;
    payload: string;
  }): Promise<{ readonly statusCode: number; readonly body: string }>;
  close(): Promise<unknown>;
}

export const PLAYED_TYPES: readonly string[] = ['AWS::SQS::Queue', 'AWS::SQS::QueuePolicy'];

/** The actions that calls ask for, and the use of the key that they make through SQS.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html */
const OPERATIONS: Readonly<Record<string, { readonly action: string; readonly key?: readonly string[] }>> = {
  SendMessage: { action: 'SendMessage', key: ['kms:GenerateDataKey', 'kms:Decrypt'] },
  SendMessageBatch: { action: 'SendMessage', key: ['kms:GenerateDataKey', 'kms:Decrypt'] },
  ReceiveMessage: { action: 'ReceiveMessage', key: ['kms:Decrypt'] },
  DeleteMessage: { action: 'DeleteMessage' },
  DeleteMessageBatch: { action: 'DeleteMessage' },
  ChangeMessageVisibility: { action: 'ChangeMessageVisibility' },
  ChangeMessageVisibilityBatch: { action: 'ChangeMessageVisibility' },
  GetQueueAttributes: { action: 'GetQueueAttributes' },
  GetQueueUrl: { action: 'GetQueueUrl' },
};
/** Attributes by their names in a template, which differ from the API's here and there. */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  DelaySeconds: 'DelaySeconds',
  MaximumMessageSize: 'MaximumMessageSize',
  MessageRetentionPeriod: 'MessageRetentionPeriod',
  ReceiveMessageWaitTimeSeconds: 'ReceiveMessageWaitTimeSeconds',
  RedrivePolicy: 'RedrivePolicy',
  VisibilityTimeout: 'VisibilityTimeout',
};
/** fauxqs knows one account. */
const ITS_ACCOUNT = '000000000000';

export class Sqs {
  readonly #app: Injectable;
  readonly #queues: readonly Queue[];

  private constructor(app: Injectable, queues: readonly Queue[]) {
    this.#app = app;
    this.#queues = queues;
  }

  static async open(resources: readonly Resource[]): Promise<Sqs> {
    // Loaded only where there are queues: it takes a fifth of a second.
    const { buildApp } = await import('fauxqs');
    const sqs = new Sqs(buildApp({ logger: false }), resources.map(readQueue));
    for (const resource of resources) {
      const { name, region } = readQueue(resource);
      await sqs.#ask('CreateQueue', region, { QueueName: name, Attributes: attributesOf(resource) });
    }
    return sqs;
  }

  /** @throws {ServiceError} whatever SQS answers */
  async call({ operation, input, region, authorize }: SqsCall): Promise<Record<string, unknown>> {
    const known = OPERATIONS[operation];
    if (!known) throw sqsError('UnsupportedOperation', `${operation} is not played`);
    const queue = this.#queueOf(input, region);
    authorize({ action: `sqs:${known.action}`, resource: queue.arn, context: {} });
    for (const action of queue.keyArn === undefined ? [] : (known.key ?? []))
      authorize({
        action,
        resource: queue.keyArn ?? '',
        context: { 'kms:ViaService': `sqs.${region}.amazonaws.com` },
      });
    if (operation === 'GetQueueUrl') return { QueueUrl: queue.url };
    return await this.#ask(operation, region, { ...input, QueueUrl: queue.url });
  }

  async close(): Promise<void> {
    await this.#app.close();
  }

  #queueOf({ QueueUrl: url, QueueName: name }: Json, region: string): Queue {
    const queue = this.#queues.find((it) => it.region === region && (it.url === url || it.name === name));
    if (queue) return queue;
    throw sqsError('QueueDoesNotExist', 'The specified queue does not exist.');
  }

  async #ask(operation: string, region: string, input: Json): Promise<Record<string, unknown>> {
    const { statusCode, body } = await this.#app.inject({
      method: 'POST',
      url: '/',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `AmazonSQS.${operation}`,
        authorization: `AWS4-HMAC-SHA256 Credential=rehearsal/20200101/${region}/sqs/aws4_request`,
      },
      payload: JSON.stringify(input),
    });
    const answer = body === '' ? {} : (JSON.parse(body) as Record<string, unknown>);
    if (statusCode < 400) return answer;
    throw new ServiceError(statusCode, { ...answer, __type: String(answer['__type']) });
  }
}

function readQueue({ physicalId, arn, region, logicalId, properties }: Resource): Queue {
  if (arn === undefined) throw new TypeError(`${logicalId}: expected an ARN, got none`);
  const key = properties['KmsMasterKeyId'];
  return {
    name: physicalId.slice(physicalId.lastIndexOf('/') + 1),
    url: physicalId,
    ...{ region, arn },
    keyArn: key === undefined ? undefined : String(key),
  };
}

function attributesOf({ properties }: Resource): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(ATTRIBUTES).flatMap(([property, attribute]) => {
      const value = properties[property];
      if (value === undefined) return [];
      const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
      return [[attribute, text.replace(/(arn:[^:]+:sqs:[^:]+:)\d+(?=:)/, `$1${ITS_ACCOUNT}`)]];
    }),
  );
}

function sqsError(name: string, message: string): ServiceError {
  return new ServiceError(400, { __type: `com.amazonaws.sqs#${name}`, message });
}
