// A conflict to its decision (PROTOCOL §4): the replicas are asked, and what two of them agree on is written together
// with its audit entry, provided that nothing has changed since. One round; whoever called starts the next. Where there
// are two replicas only, the copy that the edit met decides (docs/GOVCLOUD.md).
import { METRICS } from '../protocol/metrics.ts';
import type { Verdict } from '../protocol/verdicts.ts';
import { type Attempt, type Conflict, type NextStep, nextStep, noRoom } from './core/attempts.ts';
import { outboxEntries, type Recorded, type Ruling, recordRuling, type Scene } from './core/audit.ts';
import type { Copy, Edit, StoredRecord } from './core/record.ts';
import { judgeAlone, type Poll, poll } from './core/voting.ts';
import { hasQuorum } from './env.ts';
import type { Service, VotingService } from './service.ts';
import {
  type DecisionWrite,
  RecordFullError,
  StoreUnavailableError,
  type WriteOutcome,
} from './store/store.ts';

export type VoteOutcome =
  /** `created`: the edit won over a tombstone. */
  | { readonly kind: 'decided'; readonly verdict: Verdict; readonly created: boolean }
  /** No two equal votes; nothing was written. `moved`: because the record changed, so another round may find them. */
  | { readonly kind: 'undecided'; readonly moved: boolean }
  /** The record changed before the decision: a write finds out how. */
  | { readonly kind: 'outdated' }
  /** The store refused; nothing was written, or the next attempt finds out. */
  | { readonly kind: 'refused' }
  /** No write may start any more. */
  | { readonly kind: 'over' }
  /** The decision's condition failed: what to do about the state that stands there now. */
  | NextStep;

export interface VoteParts {
  readonly edit: Edit;
  /** What the write rested on that met the conflict. */
  readonly attempt: Attempt;
  readonly service: VotingService;
  /** Asked right before every write (PROTOCOL 8.1). */
  readonly mayAttempt: () => Promise<boolean>;
}

/** @throws StoreUnavailableError the table or the audit bucket failed in a way that another round does not mend */
export async function putToTheVote(conflict: Conflict, parts: VoteParts): Promise<VoteOutcome> {
  const { edit, service, mayAttempt } = parts;
  const { place, now } = service;
  const result = hasQuorum(place)
    ? await askAll(edit, conflict.stored, service)
    : judgeAlone(edit, conflict.stored, place.region);
  const corrupt = result.votes.filter(({ vote }) => vote === 'corrupt').length;
  if (corrupt > 0) service.telemetry.measure([{ name: METRICS.dataCorruption, value: corrupt }]);
  if (result.outcome === 'undecided') {
    logUndecided(edit, result, service);
    return { kind: 'undecided', moved: result.moved };
  }

  const { outcome, votes, voter } = result;
  const scene: Scene = { region: place.region, atMs: now() };
  const recorded = await recordWithRoom(
    edit,
    { outcome, votes, stored: voter },
    conflict.stored,
    scene,
    parts,
  );
  if (recorded.kind !== 'recorded') return recorded;
  // Before the decision, so that no entry ever names a payload that is not there; left over, it is harmless.
  const { payload } = recorded;
  if (payload) await service.audit.putPayload(edit.key.tenant, payload.sha256, payload.payload);
  if (!(await mayAttempt())) return { kind: 'over' };
  return writeDecision(conflict, { outcome, voter }, recorded, scene, parts);
}

/** Every replica, until two of them agree. */
async function askAll(edit: Edit, stored: StoredRecord, { store }: VotingService): Promise<Poll> {
  const pollOf = (copies: readonly Copy[]) => poll(edit, stored, copies);
  return pollOf(await store.copies(edit.key, (copies) => pollOf(copies).outcome !== 'undecided'));
}

/** The entry, after making room for it where need be: a full outbox is archived and trimmed first (PROTOCOL 4.3). */
async function recordWithRoom(
  edit: Edit,
  ruling: Ruling,
  { audit, commitVersion }: StoredRecord,
  scene: Scene,
  { service, mayAttempt }: VoteParts,
): Promise<
  Extract<Recorded, { kind: 'recorded' }> | Extract<VoteOutcome, { kind: 'over' | 'outdated' | 'refused' }>
> {
  const recorded = recordRuling(edit, ruling, audit, scene);
  if (recorded.kind === 'recorded') return recorded;
  await archive(edit, audit, service);
  if (!(await mayAttempt())) return { kind: 'over' };
  // Trimming leaves the commit version as it is, so the votes still hold.
  const trimmed = await refusable(service, () => service.store.trim(edit.key, commitVersion, []));
  if (trimmed === 'refused') return { kind: 'refused' };
  if (!trimmed) return { kind: 'outdated' };
  const again = recordRuling(edit, ruling, { ...audit, outbox: [] }, scene);
  if (again.kind === 'recorded') return again;
  throw new RangeError('expected every audit entry to fit into an empty outbox');
}

async function archive(
  { key }: Edit,
  trail: StoredRecord['audit'],
  { audit, telemetry }: VotingService,
): Promise<void> {
  const entries = outboxEntries(trail);
  try {
    await Promise.all(entries.map(({ sequence, hash, text }) => audit.archive(key, sequence, hash, text)));
  } catch (error) {
    telemetry.measure([{ name: METRICS.auditFailures, value: 1 }]);
    throw error;
  }
  telemetry.measure([{ name: METRICS.auditArchived, value: entries.length }]);
}

async function writeDecision(
  { stored, forget }: Conflict,
  { outcome, voter }: Pick<Extract<Poll, { voter: StoredRecord }>, 'outcome' | 'voter'>,
  { audit }: Extract<Recorded, { kind: 'recorded' }>,
  { atMs }: Scene,
  { edit, attempt, service }: VoteParts,
): Promise<VoteOutcome> {
  const { store, commits, now } = service;
  const { key, session, sequence, version, content } = edit;
  const won = outcome === 'incoming';
  commits.observe(stored.commitVersion);
  const commitVersion = commits.stamp(now());
  const decision: DecisionWrite = {
    key,
    decidedOn: stored.commitVersion,
    commitVersion,
    winner: won ? { version, content } : undefined,
    deleted: (won ? content : voter.content).deleted,
    settles: { session, sequence, atMs },
    audit,
    forget,
  };
  let written: WriteOutcome | 'refused';
  try {
    written = await refusable(service, () => store.decide(decision));
  } catch (error) {
    if (error instanceof RecordFullError) return noRoom(edit);
    throw error;
  }
  if (written === 'refused') return { kind: 'refused' };
  if (!written.written) return nextStep(edit, attempt, written.stored, commitVersion, now());
  return {
    kind: 'decided',
    verdict: won
      ? { session, sequence, verdict: 'applied', version }
      : { session, sequence, verdict: 'superseded', version: voter.version },
    created: won && voter.content.deleted,
  };
}

/** One write: another attempt may mend what the store refuses, and nothing else. */
export async function refusable<T>(
  { telemetry }: Pick<Service, 'telemetry'>,
  write: () => Promise<T>,
): Promise<T | 'refused'> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof StoreUnavailableError && error.retryable)) throw error;
    telemetry.measure([{ name: METRICS.storeRetries, value: 1 }]);
    return 'refused';
  }
}

function logUndecided({ key, version }: Edit, { votes }: Poll, { telemetry }: Service): void {
  telemetry.warn('the replicas did not decide a conflict', {
    tenant: key.tenant,
    collection: key.collection,
    record: key.id,
    version,
    votes: votes.map(({ region, vote }) => `${region} ${vote}`).join(', '),
  });
}
