// One attempt of one call to DynamoDB. The SDK never repeats by itself, and an attempt that is given up has its
// socket destroyed, so that it cannot land later (PROTOCOL 1.3).
import {
  DynamoDBClient,
  type DynamoDBClientConfig,
  DynamoDBServiceException,
} from '@aws-sdk/client-dynamodb';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { StoreUnavailableError } from './store.ts';

/** Sockets to the table; no more requests than these are under way at once. */
const SOCKETS_MAX = 64;
const CONNECT_MS_MAX = 2_000;

/** The client the adapter needs. `config` serves tests; on Lambda region and credentials come from the runtime. */
export function createDynamoDBClient(config: DynamoDBClientConfig = {}): DynamoDBClient {
  const client = new DynamoDBClient({
    ...config,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: CONNECT_MS_MAX,
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
    }),
  });
  // It copies every request and answer, member by member, for a logger that is not there.
  client.middlewareStack.remove('loggerMiddleware');
  return client;
}

/**
 * Runs `send` with a signal that fires after `timeoutMs`, which destroys the request's socket.
 * Throws what `send` throws, or a {@link StoreUnavailableError} when time is up.
 */
export async function attempt<T>(timeoutMs: number, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  try {
    return await send(controller.signal);
  } catch (cause) {
    if (!controller.signal.aborted) throw cause;
    throw new StoreUnavailableError(`the table did not answer within ${timeoutMs} ms`, {
      retryable: false,
      mayHaveLanded: true,
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Refused before anything was written: another region writes the same item, or the table is busy.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html */
const REFUSED = new Set([
  'ReplicatedWriteConflictException',
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
]);

/** What a failed call means for the caller; the original is the cause. */
export function asUnavailable(error: unknown): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error;
  const name = error instanceof Error ? error.name : String(error);
  if (REFUSED.has(name))
    return new StoreUnavailableError(`the table refused: ${name}`, {
      retryable: true,
      mayHaveLanded: false,
      cause: error,
    });
  // What DynamoDB did not say itself: the connection failed, before or after the request got through, or what came is no
  // whole answer, whatever its status.
  const status = error instanceof DynamoDBServiceException ? error.$metadata.httpStatusCode : undefined;
  if (status === undefined || status >= 500)
    return new StoreUnavailableError(`the table did not answer properly: ${name}`, {
      retryable: true,
      mayHaveLanded: true,
      cause: error,
    });
  // A 4xx is ours: permissions, a missing table, a malformed call. Trying again does not mend it.
  return new StoreUnavailableError(`the table does not take this call: ${name}`, {
    retryable: false,
    mayHaveLanded: false,
    cause: error,
  });
}
