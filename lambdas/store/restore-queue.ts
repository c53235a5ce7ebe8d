// The queue that tasks of a restore come from, as far as the function itself has to do with it: what failed is to be seen
// again soon, and not only when its visibility timeout is over, which is far longer than a restore can wait.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
import { ChangeMessageVisibilityCommand, SQSClient } from '@aws-sdk/client-sqs';

export interface RestoreQueue {
  /** A message that this invocation was given comes again after so many seconds. */
  showAgain(receiptHandle: string, afterS: number): Promise<void>;
}

const ATTEMPT_MS = 5_000;

export function createRestoreQueue(queueUrl: string): RestoreQueue {
  // By default it would go to the host that the queue's URL names, whatever endpoint it is given.
  const client = new SQSClient({ maxAttempts: 2, useQueueUrlAsEndpoint: false });
  return {
    async showAgain(receiptHandle, afterS) {
      const command = new ChangeMessageVisibilityCommand({
        QueueUrl: queueUrl,
        ReceiptHandle: receiptHandle,
        VisibilityTimeout: afterS,
      });
      await client.send(command, { abortSignal: AbortSignal.timeout(ATTEMPT_MS) });
    },
  };
}
