// The way to the service over the request layer. An answer is taken for this service's only if all of it is well formed;
// whatever else may answer on the way (a portal's page, a proxy's error) counts as no answer.
import { HEADERS, PATHS, parseRestoreEpoch } from '../../protocol/messages.ts';
import { TokenError } from '../errors.ts';
import type { Answer } from '../operation.ts';
import type { Requests } from '../requests.ts';
import { parsePage, parseProblem, parseVerdicts } from './answers.ts';
import type { PullAnswer, PullCall, PushAnswer, PushCall, Refused, Restored, Wire } from './contract.ts';
import { UnexpectedAnswerError } from './errors.ts';

export class HttpWire implements Wire {
  readonly #requests: Pick<Requests, 'request'>;
  readonly #onDegraded: (detail: string) => void;

  /** `onDegraded`: the service says of an answer that something is not as it should be. */
  constructor(requests: Pick<Requests, 'request'>, onDegraded: (detail: string) => void) {
    this.#requests = requests;
    this.#onDegraded = onDegraded;
  }

  async push({ operations, restoreEpoch, signal }: PushCall): Promise<PushAnswer> {
    const answer = await this.#requests.request({
      method: 'POST',
      path: PATHS.push,
      headers: { [HEADERS.restoreEpoch]: String(restoreEpoch) },
      body: JSON.stringify({ operations }),
      identity: 'body',
      signal,
    });
    this.#note(answer);
    if (answer.status !== 200) return refusal(answer);
    return { kind: 'verdicts', verdicts: parseVerdicts(answer.body), restoreEpoch: epochOf(answer) };
  }

  async pull({ cursor, limit, restoreEpoch, signal }: PullCall): Promise<PullAnswer> {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor === null ? {} : { cursor }) });
    const answer = await this.#requests.request({
      method: 'GET',
      path: `${PATHS.pull}?${query}`,
      headers: { [HEADERS.restoreEpoch]: String(restoreEpoch) },
      signal,
    });
    this.#note(answer);
    if (answer.status === 200)
      return { kind: 'page', page: parsePage(answer.body), restoreEpoch: epochOf(answer) };
    const refused = refusal(answer);
    return refused.kind === 'refused' && refused.code === 'cursor_expired' ? { kind: 'expired' } : refused;
  }

  #note({ headers, endpoint }: Answer): void {
    const degraded = headers[HEADERS.degraded];
    if (degraded !== undefined) this.#onDegraded(`${endpoint} answered: ${degraded}`);
  }
}

function refusal(answer: Answer): Refused | Restored {
  const { status, headers, body, endpoint, attempts } = answer;
  if (status === 401) throw new TokenError('the service refused the token, and a fresh one too', attempts);
  const problem = parseProblem(headers['content-type'], body);
  if (problem?.code === 'restore_epoch') return { kind: 'restored', restoreEpoch: epochOf(answer) };
  if (problem !== undefined) return { kind: 'refused', status, ...problem };
  // Whoever in between takes no body of that size says so in words of its own.
  if (status === 413) return { kind: 'refused', status, code: 'too_large', detail: `said by ${endpoint}` };
  const text = body.toString('utf8', 0, 200);
  throw new UnexpectedAnswerError('an answer of this service', `${status} from ${endpoint}: ${text}`);
}

function epochOf({ headers, status, endpoint }: Answer): number {
  const text = headers[HEADERS.restoreEpoch];
  const epoch = typeof text === 'string' ? parseRestoreEpoch(text) : undefined;
  if (epoch !== undefined) return epoch;
  const got = `${status} from ${endpoint} with ${text ?? 'none'}`;
  throw new UnexpectedAnswerError(`an answer with ${HEADERS.restoreEpoch} in Unix ms`, got);
}
