// From what a client sent to edits that can be written. Whatever is wrong with one operation rejects that one with a
// reason; the others of its batch do not notice (PROTOCOL 3.4).
import * as v from 'valibot';
import { PAYLOAD_BYTES_MAX } from '../../protocol/limits.ts';
import { COLLECTION_PATTERN, RECORD_ID_PATTERN, SESSION_PATTERN } from '../../protocol/names.ts';
import type { Json } from '../../protocol/operations.ts';
import type { RejectedReason, Verdict } from '../../protocol/verdicts.ts';
import { compareVersions, isVersion, type Version } from '../../protocol/versions.ts';
import { contentOf } from './canonical.ts';
import type { Content, Edit } from './record.ts';
import type { Unstorable } from './strict-json.ts';

const version = v.custom<Version>(isVersion, 'expected a version, <12 hex>-<4 hex>-<16 hex>');
const common = {
  session: v.pipe(v.string(), v.regex(SESSION_PATTERN, `expected ${SESSION_PATTERN}`)),
  sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  collection: v.pipe(v.string(), v.regex(COLLECTION_PATTERN, `expected ${COLLECTION_PATTERN}`)),
  id: v.pipe(v.string(), v.regex(RECORD_ID_PATTERN, `expected ${RECORD_ID_PATTERN}`)),
  version,
  base: v.exactOptional(version),
  replayed: v.exactOptional(v.literal(true)),
};
const operationSchema = v.variant('kind', [
  v.strictObject({
    ...common,
    kind: v.literal('put'),
    payload: v.custom<Json>((value) => value !== undefined),
  }),
  v.strictObject({ ...common, kind: v.literal('delete') }),
]);

export type Checked =
  | { readonly kind: 'edit'; readonly edit: Edit }
  /** `chain` is the key it was meant for, where that much could be read. */
  | { readonly kind: 'rejected'; readonly verdict: Verdict; readonly chain: string | undefined };

/**
 * One result per operation, in order. `unstorable` are the findings of {@link parseStrictJson} by the index of the
 * operation they lie in.
 */
export function checkOperations(
  operations: readonly Json[],
  tenant: string,
  unstorable: ReadonlyMap<number, Unstorable> = new Map(),
): Checked[] {
  const highest = new Map<string, number>();
  return operations.map((operation, index) => {
    const flaw = unstorable.get(index);
    if (flaw) return rejected(operation, 'invalid', `the operation ${flaw.detail}`);
    const parsed = v.safeParse(operationSchema, operation);
    if (!parsed.success) return rejected(operation, 'invalid', describe(parsed.issues[0]));
    const { session, sequence, collection, id, base } = parsed.output;
    if (base !== undefined && compareVersions(base, parsed.output.version) >= 0)
      return rejected(operation, 'invalid', `version: expected one above the base ${base}`);
    // Only the highest settled sequence is remembered: a lower one sent after it would pass for settled.
    const chain = `${session}#${collection}#${id}`;
    if (sequence < (highest.get(chain) ?? 0))
      return rejected(
        operation,
        'invalid',
        `sequence: expected at least ${highest.get(chain)} after that one`,
      );
    highest.set(chain, sequence);
    return checkContent(parsed.output, tenant, operation);
  });
}

function checkContent(operation: v.InferOutput<typeof operationSchema>, tenant: string, raw: Json): Checked {
  const { session, sequence, collection, id, version, base, replayed = false } = operation;
  const content: Content = operation.kind === 'put' ? contentOf(operation.payload) : { deleted: true };
  const excess = payloadExcess(content);
  if (excess !== undefined) return rejected(raw, 'too_large', excess);
  const key = { tenant, collection, id };
  return { kind: 'edit', edit: { key, session, sequence, version, base, replayed, content } };
}

/** What is too large about a payload; undefined when it fits. */
export function payloadExcess(content: Content): string | undefined {
  const bytes = content.deleted ? 0 : Buffer.byteLength(content.payload);
  return bytes > PAYLOAD_BYTES_MAX
    ? `payload: ${bytes} bytes in canonical form (RFC 8785), at most ${PAYLOAD_BYTES_MAX} are kept`
    : undefined;
}

export function rejection(
  { session, sequence }: Pick<Edit, 'session' | 'sequence'>,
  reason: RejectedReason,
  detail: string,
): Verdict {
  return { session, sequence, verdict: 'rejected', reason, detail };
}

/** A verdict on something that may not even name itself: what cannot be read of it is left empty. */
function rejected(operation: Json, reason: RejectedReason, detail: string): Checked {
  const { session, sequence, collection, id } = fieldsOf(operation);
  const named = typeof collection === 'string' && typeof id === 'string';
  return {
    kind: 'rejected',
    verdict: rejection(
      {
        session: typeof session === 'string' && SESSION_PATTERN.test(session) ? session : '',
        sequence: Number.isSafeInteger(sequence) ? (sequence as number) : 0,
      },
      reason,
      detail,
    ),
    chain: named ? `${collection}#${id}` : undefined,
  };
}

function fieldsOf(operation: Json): { readonly [name: string]: Json } {
  return typeof operation === 'object' && operation !== null && !Array.isArray(operation)
    ? (operation as { readonly [name: string]: Json })
    : {};
}

function describe(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}
