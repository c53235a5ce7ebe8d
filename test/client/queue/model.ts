// What a queue should be, in the simplest words: a list of operations and what became of each. No files, no hashes,
// no groups. A crash leaves the model as it was before the last call, or as it is after it.
import type { Queue } from '../../../client/queue/queue.ts';
import type { Operation } from '../../../protocol/operations.ts';
import type { Verdict, VerdictName } from '../../../protocol/verdicts.ts';
import { type Version, versionOf } from '../../../protocol/versions.ts';
import { NOW } from './queues.ts';
import { drain } from './witness.ts';

const OTHER = 'ffffffffffffffff';

export interface ModelOperation {
  readonly id: string;
  readonly key: string;
  /** Undefined: a delete. */
  readonly payload: number | undefined;
  readonly state: 'pending' | 'kept' | 'quarantined';
  readonly replayed: boolean;
}

export interface ModelRecord {
  readonly version: Version;
  readonly payload: number | undefined;
  readonly seen: number;
  /** Made what it is by an operation settled since the queue was opened. */
  readonly settledHere: boolean;
}

export interface Model {
  readonly operations: readonly ModelOperation[];
  readonly records: ReadonlyMap<string, ModelRecord>;
  readonly epoch: number;
  readonly cursor: string | null;
  readonly resync: { readonly number: number; readonly active: boolean };
}

export const EMPTY_MODEL: Model = {
  operations: [],
  records: new Map(),
  epoch: 0,
  cursor: null,
  resync: { number: 0, active: false },
};

export function idOf(operation: { readonly session: string; readonly sequence: number }): string {
  return `${operation.session}:${operation.sequence}`;
}

/** Replayed ones first, each in the order made. */
export function pendingOf(model: Model): readonly ModelOperation[] {
  const pending = model.operations.filter(({ state }) => state === 'pending');
  return [...pending.filter(({ replayed }) => replayed), ...pending.filter(({ replayed }) => !replayed)];
}

export function settled(model: Model, operations: readonly Operation[], verdicts: readonly Verdict[]): Model {
  let { records } = model;
  const states = new Map<string, 'kept' | 'quarantined'>();
  for (const [index, verdict] of verdicts.entries()) {
    const operation = operations[index] as Operation;
    if (verdict.verdict === 'rejected') states.set(idOf(operation), 'quarantined');
    if (verdict.verdict !== 'applied' && verdict.verdict !== 'duplicate' && verdict.verdict !== 'superseded')
      continue;
    states.set(idOf(operation), 'kept');
    const version = verdict.verdict === 'applied' ? verdict.version : operation.version;
    const isHeld =
      verdict.verdict === 'applied' ||
      (verdict.verdict === 'duplicate' && operation.version <= verdict.version);
    if (isHeld) records = held(model, records, operation, version);
  }
  const operationsAfter = model.operations.map((it) => {
    const state = states.get(it.id);
    return state === undefined ? it : { ...it, state, replayed: false };
  });
  return { ...model, operations: operationsAfter, records };
}

/** As it is found by the next opening. */
export function reopened(model: Model): Model {
  const records = [...model.records].map(([id, it]) => [id, { ...it, settledHere: false }] as const);
  return { ...model, records: new Map(records) };
}

function held(
  { resync }: Model,
  records: ReadonlyMap<string, ModelRecord>,
  operation: Operation,
  version: Version,
): ReadonlyMap<string, ModelRecord> {
  const before = records.get(operation.id);
  const isStale = resync.active && before !== undefined && before.seen !== resync.number;
  if (before !== undefined && before.version > version && !isStale) return records;
  const payload = operation.kind === 'put' ? Number(operation.payload) : undefined;
  return new Map(records).set(operation.id, { version, payload, seen: resync.number, settledHere: true });
}

export function raised(model: Model, epoch: number): Model {
  if (epoch <= model.epoch) return model;
  const operations = model.operations.map(
    (it): ModelOperation => (it.state === 'kept' ? { ...it, state: 'pending', replayed: true } : it),
  );
  const resync = { number: model.resync.number + 1, active: false };
  return { ...model, operations, epoch, cursor: null, resync };
}

export interface ModelChange {
  readonly id: string;
  readonly version: Version;
  readonly payload: number | undefined;
}

export function pulled(
  model: Model,
  changes: readonly ModelChange[],
  page: { readonly cursor: string; readonly resync: boolean; readonly more: boolean },
): Model {
  const number = model.resync.number + (page.resync && !model.resync.active ? 1 : 0);
  const records = new Map(model.records);
  const stands = ({ seen, settledHere }: ModelRecord) =>
    seen === number || (settledHere && seen === number - 1);
  for (const { id, version, payload } of changes) {
    const before = records.get(id);
    const isNews =
      before === undefined ||
      version > before.version ||
      (page.resync && before.seen !== number && (version === before.version || !stands(before)));
    if (isNews) records.set(id, { version, payload, seen: number, settledHere: false });
  }
  const ends = page.resync && !page.more;
  if (ends) for (const [id, record] of records) if (!stands(record)) records.delete(id);
  const active = page.resync ? !ends : model.resync.active;
  return { ...model, records, cursor: page.cursor, resync: { number, active } };
}

/** What can be seen of a queue from outside, in the model's words. */
export function viewOf(queue: Queue, keys: readonly string[]): unknown {
  const operations = drain(queue);
  return {
    pending: operations.map((it) => [idOf(it), it.id, payloadOf(it), it.replayed ?? false]),
    quarantined: [...queue.quarantine()].map(idOf),
    kept: queue.kept,
    epoch: queue.restoreEpoch,
    cursor: queue.cursor,
    records: keys.map((id) => queue.get('notes', id)?.payload),
  };
}

export function viewOfModel(model: Model, keys: readonly string[]): unknown {
  const pending = pendingOf(model);
  return {
    pending: pending.map((it) => [it.id, it.key, it.payload, it.replayed]),
    quarantined: model.operations.filter(({ state }) => state === 'quarantined').map(({ id }) => id),
    kept: model.operations.filter(({ state }) => state === 'kept').length,
    epoch: model.epoch,
    cursor: model.cursor,
    records: keys.map((key) => {
      const last = model.operations.findLast((it) => it.key === key && it.state === 'pending');
      return last === undefined ? model.records.get(key)?.payload : last.payload;
    }),
  };
}

function payloadOf(operation: Operation): unknown {
  return operation.kind === 'put' ? operation.payload : undefined;
}

/** What a server could say of the operation; a version of somebody else is stored, where one is. */
export function verdictOf(verdict: VerdictName, operation: Operation, serverTimeMs: number): Verdict {
  const { session, sequence, version } = operation;
  const named = { session, sequence };
  const other = versionOf({ ms: NOW, counter: 5 }, OTHER);
  switch (verdict) {
    case 'applied':
      return { ...named, verdict, version };
    case 'duplicate':
    case 'superseded':
      return { ...named, verdict, version: other };
    case 'deferred':
      return { ...named, verdict, reason: 'store_unavailable' };
    case 'rejected':
      return { ...named, verdict, reason: 'invalid', detail: 'the test says so' };
    case 'clock_ahead':
      return { ...named, verdict, serverTimeMs };
  }
}
