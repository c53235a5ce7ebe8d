// Admits a request under the table's generation, or answers why not (PROTOCOL §8).
import { HEADERS, parseRestoreEpoch } from '../protocol/messages.ts';
import { admit } from './core/admission.ts';
import { type HttpRequest, ProblemError } from './http.ts';
import type { Service } from './service.ts';
import { type Admitted, ATTEMPTS_START_MS_MAX } from './settle.ts';

/**
 * Sync requests must say which restore epoch they know of, others may. Sets the epoch that the answer carries.
 * @throws {ProblemError} `closed`, `restore_epoch`, or `invalid_request` for a missing or malformed header
 */
export async function admitRequest(
  request: HttpRequest,
  { generation }: Pick<Service, 'generation'>,
  { required }: { readonly required: boolean },
): Promise<Admitted> {
  const known = knownEpoch(request, required);
  let admission = admit(await generation.current(), known);
  if (admission.kind === 'ahead') admission = admit(await generation.refresh(), known);
  switch (admission.kind) {
    case 'admitted':
      request.restoreEpoch = admission.restoreEpoch;
      return {
        restoreEpoch: admission.restoreEpoch,
        deadlineMs: request.receivedAtMs + ATTEMPTS_START_MS_MAX,
      };
    case 'behind':
      request.restoreEpoch = admission.restoreEpoch;
      throw new ProblemError(
        'restore_epoch',
        `expected ${HEADERS.restoreEpoch}: ${admission.restoreEpoch}, got ${known}; nothing was processed`,
      );
    case 'ahead':
      throw new ProblemError('closed', `the table does not know of a restore at ${known} yet`);
    case 'closed':
      throw new ProblemError('closed', 'the table is being restored, or was never opened');
  }
}

function knownEpoch(request: HttpRequest, required: boolean): number | undefined {
  const header = request.header(HEADERS.restoreEpoch);
  if (header === undefined && !required) return undefined;
  const known = parseRestoreEpoch(header?.trim() ?? '');
  if (known === undefined)
    throw new ProblemError(
      'invalid_request',
      `${HEADERS.restoreEpoch}: expected the last known restore epoch in Unix ms, or 0, got ${header ?? 'none'}`,
    );
  return known;
}
