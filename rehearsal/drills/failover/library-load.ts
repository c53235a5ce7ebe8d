// Load through the client library: fresh records written with an identity, acknowledged ones read again.
import { RequestError } from '../../../client/errors.ts';
import { Session } from '../../../client/identity.ts';
import type { Answer } from '../../../client/operation.ts';
import { Requests } from '../../../client/requests.ts';
import { HEADERS, PATHS } from '../../../protocol/messages.ts';
import { isVersion, type Version } from '../../../protocol/versions.ts';
import { momentOf, preciseNow, RECEIVED_AT_HEADER } from '../../measuring.ts';
import { atPace, seededRandom } from '../pace.ts';
import type { AttemptEntry, OperationEntry } from './history.ts';
import type { LoadOptions } from './load-messages.ts';

export const COLLECTION = 'drill';

type Outcome = Omit<OperationEntry, 'client' | 'operation' | 'key' | 'scheduledAt' | 'endedAt'>;

export class LibraryLoad {
  /** Version by key. */
  readonly acknowledged = new Map<string, Version>();
  readonly #keys: string[] = [];
  readonly #requests: Requests;
  readonly #session = new Session();
  readonly #regionOf: ReadonlyMap<string, string>;
  readonly #random: () => number;
  readonly #options: LoadOptions;
  readonly #onEntry: (entry: OperationEntry) => void;
  readonly #running = new Set<Promise<void>>();
  #written = 0;

  constructor(options: LoadOptions, onEntry: (entry: OperationEntry) => void) {
    this.#options = options;
    this.#onEntry = onEntry;
    this.#random = seededRandom(options.seed);
    this.#regionOf = new Map(options.endpoints.map(({ region, url }) => [url, region]));
    this.#requests = new Requests({
      endpoints: options.endpoints.map(({ url }) => url),
      token: async () => options.token,
      fallback: options.fallback,
      silenceDetection: options.silenceDetection,
      random: this.#random,
    });
  }

  /** Starts; the function returned stops it and resolves when all is answered. */
  start(): () => Promise<void> {
    const { requestsPerSecond, writeShare } = this.#options.profile;
    const stop = atPace(requestsPerSecond, (scheduledAt) => {
      const writes = this.#keys.length === 0 || this.#random() < writeShare;
      const operation = writes ? this.#put(scheduledAt) : this.#get(scheduledAt);
      this.#running.add(operation);
      operation.finally(() => this.#running.delete(operation));
    });
    return async () => {
      stop();
      await Promise.all(this.#running);
      await this.#requests.close();
    };
  }

  async #put(scheduledAt: number): Promise<void> {
    this.#written += 1;
    const id = `${this.#session.id.slice(0, 12)}-${this.#written}`;
    const identity = this.#session.next();
    const body = JSON.stringify({ number: this.#written, text: 'written by a drill' });
    const outcome = await this.#send((path) => ({ method: 'PUT', path, identity, body }), id);
    const ok = (outcome.status === 200 || outcome.status === 201) && isSettled(outcome.verdict);
    const key = `${COLLECTION}/${id}`;
    if (ok) {
      this.acknowledged.set(key, identity.version);
      this.#keys.push(key);
    }
    this.#report('put', key, scheduledAt, { ...outcome, version: identity.version, ok });
  }

  async #get(scheduledAt: number): Promise<void> {
    const key = this.#keys[Math.floor(this.#random() * this.#keys.length)] as string;
    const acknowledged = this.acknowledged.get(key) as Version;
    const outcome = await this.#send((path) => ({ method: 'GET', path }), key.slice(COLLECTION.length + 1));
    const fresh = outcome.version !== undefined && outcome.version >= acknowledged;
    this.#report('get', key, scheduledAt, { ...outcome, acknowledged, ok: outcome.status === 200 && fresh });
  }

  async #send(
    request: (path: string) => Parameters<Requests['request']>[0],
    id: string,
  ): Promise<Omit<Outcome, 'ok'>> {
    try {
      return this.#outcomeOf(await this.#requests.request(request(pathOf(id))));
    } catch (error) {
      const attempts = error instanceof RequestError ? error.attempts : [];
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
      return {
        error: `${error instanceof Error ? error.message : error}${cause}`,
        attempts: this.#entries(attempts),
      };
    }
  }

  #outcomeOf({ status, headers, body, endpoint, attempts }: Answer): Omit<Outcome, 'ok'> {
    const receivedAt = Number(headers[RECEIVED_AT_HEADER]);
    const verdict = headers[HEADERS.verdict];
    const version = headers.etag?.replaceAll('"', '');
    return {
      status,
      region: this.#regionOf.get(endpoint) ?? endpoint,
      attempts: this.#entries(attempts),
      ...(receivedAt > 0 ? { receivedAt } : {}),
      ...(typeof verdict === 'string' ? { verdict } : {}),
      ...(isVersion(version) ? { version } : {}),
      ...(status >= 400 ? { error: body.toString('utf8', 0, 500) } : {}),
    };
  }

  #entries(attempts: Answer['attempts']): readonly AttemptEntry[] {
    return attempts.map(({ endpoint, kind, startedAt, endedAt, outcome, status }) => ({
      region: this.#regionOf.get(endpoint) ?? endpoint,
      kind,
      startedAt: momentOf(startedAt),
      ...(endedAt === undefined ? {} : { endedAt: momentOf(endedAt) }),
      outcome,
      ...(status === undefined ? {} : { status }),
    }));
  }

  #report(operation: 'put' | 'get', key: string, scheduledAt: number, outcome: Outcome): void {
    this.#onEntry({ client: 'library', operation, key, scheduledAt, endedAt: preciseNow(), ...outcome });
  }
}

function isSettled(verdict: string | undefined): boolean {
  return verdict === 'applied' || verdict === 'duplicate';
}

export function pathOf(id: string): string {
  return PATHS.record.replace('{collection}', COLLECTION).replace('{id}', id);
}
