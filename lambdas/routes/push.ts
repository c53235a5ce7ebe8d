// `POST /v1/sync/push`: a batch of operations in, one verdict each out, in the order sent (PROTOCOL §3, §4, 5.3).
import { BATCH_OPERATIONS_MAX } from '../../protocol/limits.ts';
import { PATHS, type PushResponse } from '../../protocol/messages.ts';
import { METRICS, verdictMetric } from '../../protocol/metrics.ts';
import type { Json } from '../../protocol/operations.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import { admitRequest } from '../admit.ts';
import { inChains } from '../core/chains.ts';
import { type Checked, checkOperations } from '../core/operations.ts';
import { pointerOf, type StrictJson, type Unstorable } from '../core/strict-json.ts';
import { type HttpRequest, ProblemError, type Routes } from '../http.ts';
import type { VotingService } from '../service.ts';
import { settle } from '../settle.ts';
import type { Sample } from '../telemetry.ts';

/** Keys written at once: enough to hide the way to the table, well below its 64 sockets. */
const CHAINS_AT_ONCE = 32;

export function pushRoutes(service: VotingService): Routes {
  return {
    [`POST ${PATHS.push}`]: async (request) => {
      const tenant = request.tenant();
      const admitted = await admitRequest(request, service, { required: true });
      const { operations, unstorable } = operationsOf(request.json());
      const checked = checkOperations(operations, tenant, unstorable);
      const verdicts = await inChains(checked, {
        keyOf: chainOf,
        run: async (entry) =>
          entry.kind === 'rejected' ? entry.verdict : (await settle(entry.edit, admitted, service)).verdict,
        stops: ({ verdict }) => verdict === 'deferred' || verdict === 'clock_ahead' || verdict === 'rejected',
        skip: (entry) => behind(entry),
        concurrencyMax: CHAINS_AT_ONCE,
      });
      measure(request, verdicts, service.now());
      const body: PushResponse = { verdicts };
      return { status: 200, body };
    },
  };
}

/** The operations, and what parsing found in which of them. */
function operationsOf({ value, unstorable }: StrictJson): {
  readonly operations: readonly Json[];
  readonly unstorable: ReadonlyMap<number, Unstorable>;
} {
  const refuse = (detail: string): never => {
    throw new ProblemError('invalid_request', detail);
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse('expected a body {"operations": […]}');
  const { operations, ...rest } = value as { readonly [name: string]: Json };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) refuse(`/${unknown}: expected no such member`);
  if (!isList(operations)) return refuse('/operations: expected a list');
  if (operations.length > BATCH_OPERATIONS_MAX)
    refuse(`/operations: expected at most ${BATCH_OPERATIONS_MAX}, got ${operations.length}`);
  const byOperation = new Map<number, Unstorable>();
  for (const flaw of unstorable) {
    const [list, index] = flaw.path;
    if (list === 'operations' && typeof index === 'number') byOperation.set(index, flaw);
    else refuse(`${pointerOf(flaw.path) || 'the body'} ${flaw.detail}`);
  }
  return { operations, unstorable: byOperation };
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function chainOf(entry: Checked): string | undefined {
  return entry.kind === 'edit' ? `${entry.edit.key.collection}#${entry.edit.key.id}` : entry.chain;
}

/** Not even tried, since something before it on its key is not settled. A rejected one stays rejected. */
function behind(entry: Checked): Verdict {
  if (entry.kind === 'rejected') return entry.verdict;
  const { session, sequence } = entry.edit;
  return { session, sequence, verdict: 'deferred', reason: 'predecessor' };
}

function measure(request: HttpRequest, verdicts: readonly Verdict[], nowMs: number): void {
  const counts = new Map<string, number>();
  for (const { verdict } of verdicts) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const failures = verdicts.filter((it) => it.verdict === 'deferred' && it.reason !== 'predecessor').length;
  const samples: Sample[] = [
    { name: METRICS.syncBatchSize, value: verdicts.length },
    { name: METRICS.syncOperationDuration, value: nowMs - request.receivedAtMs, unit: 'Milliseconds' },
    { name: METRICS.syncOperations, value: verdicts.length },
    { name: METRICS.syncFailures, value: failures },
    ...[...counts].map(([verdict, value]) => ({ name: verdictMetric(verdict), value })),
  ];
  request.samples.push(...samples);
}
