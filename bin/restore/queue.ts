// The queue of a Region's restore function, as the operator's command sees it.
import {
  DeleteMessageCommand,
  GetQueueUrlCommand,
  type Message,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { restoreQueueName } from '../../lib/names.ts';
import type { TableAddress } from '../routing/where.ts';
import { eachAtOnce } from './lanes.ts';

export interface TaskQueue {
  send(bodies: readonly string[]): Promise<void>;
  /** Of what failed too often and was put aside, that which `isOurs`: it is put aside no longer. */
  takeAside(isOurs: (body: string) => boolean): Promise<readonly string[]>;
}

export interface TaskQueuesOptions {
  readonly stage: string;
  readonly address: Pick<TableAddress, 'endpoint' | 'credentials'>;
}

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html */
const BATCH_MAX = 10;
const BATCHES_AT_ONCE = 8;
const TIMEOUTS = { connectionTimeout: 5_000, requestTimeout: 15_000 };
/** Long enough to be deleted, and soon to be seen by whoever it belongs to when it is not ours. */
const LOOKED_AT_S = 5;

export class TaskQueues {
  readonly #options: TaskQueuesOptions;
  readonly #open = new Map<string, { readonly queue: TaskQueue; readonly client: SQSClient }>();

  constructor(options: TaskQueuesOptions) {
    this.#options = options;
  }

  in(region: string): TaskQueue {
    const known = this.#open.get(region);
    if (known) return known.queue;
    const { stage, address } = this.#options;
    const { endpoint, credentials } = address;
    const client = new SQSClient({
      region,
      requestHandler: TIMEOUTS,
      // By default it would go to the host that the queue's URL names, whatever endpoint it is given.
      useQueueUrlAsEndpoint: false,
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials && { credentials }),
    });
    const queue = openQueue(client, stage, region);
    this.#open.set(region, { queue, client });
    return queue;
  }

  close(): void {
    for (const { client } of this.#open.values()) client.destroy();
  }
}

function openQueue(client: SQSClient, stage: string, region: string): TaskQueue {
  const urls = new Map<string, Promise<string>>();
  const urlOf = (use: 'tasks' | 'failed') => {
    const name = restoreQueueName(stage, use);
    const url = urls.get(name) ?? lookUp(client, name, region);
    urls.set(name, url);
    return url;
  };
  return {
    async send(bodies) {
      const QueueUrl = await urlOf('tasks');
      const batches = Array.from({ length: Math.ceil(bodies.length / BATCH_MAX) }, (_, at) =>
        bodies.slice(at * BATCH_MAX, (at + 1) * BATCH_MAX),
      );
      await eachAtOnce(batches, BATCHES_AT_ONCE, async (batch) => {
        const Entries = batch.map((MessageBody, at) => ({ Id: String(at), MessageBody }));
        const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
        const [first] = Failed;
        if (first)
          throw new Error(
            `the restore queue of ${region}: expected to take ${batch.length} tasks, did not take ${Failed.length}: ${first.Message ?? first.Code}`,
          );
      });
    },

    async takeAside(isOurs) {
      const QueueUrl = await urlOf('failed');
      const command = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: BATCH_MAX,
        VisibilityTimeout: LOOKED_AT_S,
      });
      const { Messages = [] } = await client.send(command);
      const ours = Messages.filter(({ Body }: Message) => Body !== undefined && isOurs(Body));
      for (const { ReceiptHandle } of ours)
        await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      return ours.map(({ Body = '' }) => Body);
    },
  };
}

async function lookUp(client: SQSClient, QueueName: string, region: string): Promise<string> {
  try {
    const { QueueUrl = '' } = await client.send(new GetQueueUrlCommand({ QueueName }));
    return QueueUrl;
  } catch (error) {
    if (!(error instanceof QueueDoesNotExist)) throw error;
    throw new Error(
      `${region} has no queue ${QueueName}: expected the restore function to be deployed there; without --workers everything is read from here`,
    );
  }
}
