// The durable queue (DESIGN §5). Everything a device was told is safe stands in one file; what happens to it is
// decided by the pure parts beside this one, written in one commit, and only then believed.
import type { PullResponse } from '../../protocol/messages.ts';
import type { Json, Operation } from '../../protocol/operations.ts';
import { draftAppend, type Edit } from './append.ts';
import type {
  Answer,
  Batch,
  BatchLimits,
  LocalRecord,
  NewEdit,
  QuarantinedOperation,
  QueueOptions,
  Receipt,
} from './contract.ts';
import type { QueueDisk } from './disk.ts';
import { Draft } from './draft.ts';
import { type Finding, QueueClosedError, QueueCorruptError, QueueFullError } from './errors.ts';
import { FillWatch } from './fill-watch.ts';
import { DROPPED, type Line, newState, parseLine, recordSealOf } from './format.ts';
import { InFlight } from './in-flight.ts';
import { keyOf, Ledger } from './ledger.ts';
import { lineReader, type ReadLines } from './lines.ts';
import { load } from './load.ts';
import { MarkKeeper } from './mark.ts';
import { draftPull, type Pulled } from './pull.ts';
import { findQuarantined, listQuarantine } from './quarantine.ts';
import { draftReplay } from './restore.ts';
import { draftRetention, draftTombstonePruning } from './retention.ts';
import { draftSettlement, type Settlement } from './settle.ts';
import { checkedEdit, Staging, sizeOf } from './staging.ts';
import type { Waiting } from './waiting.ts';

const BYTES_MAX = 1024 ** 3;
const KEPT_MS_MAX = 86_400_000;
const KEPT_BYTES_MAX = 64 * 1024 ** 2;
/**
 * Opens the queue on `disk`, proving every row of it.
 * @throws {@link QueueCorruptError} when it is damaged; its content is left as it is then.
 */
export function openQueue(disk: QueueDisk, options: QueueOptions): Queue {
  const { ledger, findings } = load(disk);
  if (findings.length > 0) throw new QueueCorruptError(disk.path, findings);
  disk.accept();
  return new Queue(disk, ledger, options);
}

export class Queue {
  /** Operations that waited in the file when it was opened, all queued. */
  readonly recovered: number;
  /** Random, new with every opening (PROTOCOL 1.2). */
  readonly session: string;
  readonly #disk: QueueDisk;
  readonly #options: QueueOptions;
  readonly #ledger: Ledger;
  readonly #lines: ReadLines;
  readonly #mark: MarkKeeper;
  readonly #fill: FillWatch;
  readonly #bytesMax: number;
  readonly #keptMsMax: number;
  readonly #keptBytesMax: number;
  readonly #inFlight: InFlight;
  readonly #staging: Staging;
  #sequence = 0;
  #refusal: Error | undefined;

  constructor(disk: QueueDisk, ledger: Ledger | undefined, options: QueueOptions) {
    this.#disk = disk;
    this.#options = options;
    this.session = options.random(16);
    this.#ledger = ledger ?? new Ledger(newState(options.random(8)));
    this.#lines = lineReader(disk);
    this.#inFlight = new InFlight(this.#ledger);
    this.#staging = new Staging(this.#ledger);
    this.#mark = new MarkKeeper(disk, this.#ledger.state);
    this.#bytesMax = options.bytesMax ?? BYTES_MAX;
    this.#keptMsMax = options.keptMsMax ?? KEPT_MS_MAX;
    this.#keptBytesMax = options.keptBytesMax ?? KEPT_BYTES_MAX;
    this.#fill = new FillWatch(this.#bytesMax, options.onWarning, () => disk.space());
    this.recovered = this.#ledger.waiting.size;
    // The mark first: from the first commit on, a file without one is a damaged file.
    if (ledger === undefined) this.#mark.sync();
    if (ledger === undefined) this.#commit(new Draft(this.#ledger), true);
    this.#mark.sync();
    try {
      this.compact();
    } catch (error) {
      if (!(error instanceof QueueFullError)) throw error;
      // On a full disk what is there can still be read, sent and settled.
    }
  }

  get pending(): number {
    return this.#ledger.waiting.size;
  }

  get quarantined(): number {
    return this.#ledger.quarantinedCount;
  }

  /** Settled operations kept for a restore. */
  get kept(): number {
    return this.#ledger.keptCount;
  }

  get usedBytes(): number {
    return this.#ledger.usedBytes;
  }

  get fileId(): string {
    return this.#ledger.state.fileId;
  }

  get restoreEpoch(): number {
    return this.#ledger.state.restoreEpoch;
  }

  /** Where the next pull goes on; null: from nothing. */
  get cursor(): string | null {
    return this.#ledger.state.cursor;
  }

  /** The server's time as far as known, Unix ms. */
  get nowMs(): number {
    return this.#options.now() + this.#ledger.state.offsetMs;
  }

  /**
   * Takes an edit; resolves when it is durable. Edits of one turn share a commit.
   * @throws {@link InvalidEditError}, {@link QueueFullError}, {@link QueueDiskError}, {@link QueueClosedError}
   */
  append(edit: NewEdit): Promise<Receipt> {
    try {
      return this.#stage(checkedEdit(edit));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** What this device knows of a record: its own latest edit, else what it holds. Undefined: nothing, or deleted. */
  get(collection: string, id: string): LocalRecord | undefined {
    this.#refuseIfClosed();
    const key = keyOf(collection, id);
    const last = this.#ledger.waiting.lastOf(key);
    if (last !== undefined) {
      const { kind, payload } = this.#lineOf(last);
      if (kind === 'delete') return undefined;
      return { payload: JSON.parse(payload) as Json, version: last.version, pending: true };
    }
    const held = this.#ledger.held.get(key);
    if (held === undefined || held.deleted) return undefined;
    const row = this.#disk.readRecord(held.row);
    if (row?.payload == null || row.seal !== held.seal || recordSealOf(row) !== held.seal)
      throw this.#damaged({ where: 'records', what: `${key} does not read back as it was written` });
    return { payload: JSON.parse(row.payload) as Json, version: held.version, pending: false };
  }

  /** The next operations to send, in order, on keys not in flight; undefined when there are none. */
  nextBatch(limits: BatchLimits = {}): Batch | undefined {
    this.#refuseIfClosed();
    return this.#inFlight.next(limits, (waiting) => this.#operationOf(waiting));
  }

  /** The batch is over, settled or given up: its keys may be sent again. */
  release(batch: Batch): void {
    this.#inFlight.release(batch);
  }

  /**
   * Makes verdicts durable, in one commit; counts only those on operations in flight. Release the batch afterwards.
   * Undefined: the answer is of a lower restore epoch and was ignored.
   */
  settle({ verdicts, restoreEpoch }: Answer): Settlement | undefined {
    this.#refuseIfClosed();
    if (restoreEpoch < this.restoreEpoch) return undefined;
    this.raiseRestoreEpoch(restoreEpoch);
    const draft = new Draft(this.#ledger);
    const nowMs = this.#options.now();
    const { settlement, keptBytes } = draftSettlement(this.#ledger, draft, {
      verdicts,
      find: (session, sequence) => this.#inFlight.find(session, sequence),
      lines: this.#lines,
      nowMs,
    });
    if (!draft.hasChanges) return settlement;
    this.#draftRetention(draft, keptBytes, 0);
    this.#commit(draft, true);
    return settlement;
  }

  /** Returns how many kept operations are queued again; 0 when the epoch is known (PROTOCOL 8.2). */
  raiseRestoreEpoch(epoch: number): number {
    this.#refuseIfClosed();
    if (epoch <= this.restoreEpoch) return 0;
    const draft = new Draft(this.#ledger);
    const again = draftReplay(this.#ledger, draft, epoch, this.#lines);
    this.#commit(draft, true);
    return again;
  }

  /** Changes and checkpoint in one commit. Undefined: a page of another restore epoch than was known, ignored. */
  applyPull(page: PullResponse, restoreEpoch: number): Pulled | undefined {
    this.#refuseIfClosed();
    if (restoreEpoch !== this.restoreEpoch) {
      this.raiseRestoreEpoch(restoreEpoch);
      return undefined;
    }
    const draft = new Draft(this.#ledger);
    const pulled = draftPull(this.#ledger, draft, page, this.nowMs);
    this.#commit(draft, true);
    return pulled;
  }

  /** The cursor is too old (410): the next pull is a resync. */
  restartPull(): void {
    this.#refuseIfClosed();
    const draft = new Draft(this.#ledger);
    draft.setState({ cursor: null, resync: { number: this.#ledger.state.resync.number, active: false } });
    this.#commit(draft, true);
  }

  /** Rejected operations, with the reason. They wait for {@link resubmit} or {@link discard} and block nothing. */
  quarantine(): Iterable<QuarantinedOperation> {
    this.#refuseIfClosed();
    return listQuarantine(this.#ledger, this.#lines);
  }

  /** Takes an operation out of quarantine as a new one (PROTOCOL 1.2), with `edit` in place of its own if given. */
  resubmit(session: string, sequence: number, edit?: NewEdit): Promise<Receipt> {
    try {
      this.#refuseIfClosed();
      const { group, index } = findQuarantined(this.#ledger, session, sequence);
      const line = parseLine(this.#lines(group)[index] as string);
      const again =
        edit === undefined ? { ...line, key: keyOf(line.collection, line.id) } : checkedEdit(edit);
      return this.#stage({ ...again, replaces: { group: group.position, index } });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Drops a quarantined operation for good. */
  discard(session: string, sequence: number): void {
    this.#refuseIfClosed();
    const { group, index } = findQuarantined(this.#ledger, session, sequence);
    const draft = new Draft(this.#ledger);
    draft.setOutcome(group, index, DROPPED);
    this.#commit(draft, true);
  }

  /** Drops what need not be kept and gives free room back to the disk. Settling does the first by itself. */
  compact(): void {
    this.#refuseIfClosed();
    const draft = new Draft(this.#ledger);
    draftTombstonePruning(this.#ledger, draft, this.#options.now());
    this.#draftRetention(draft, 0, 0);
    if (draft.hasChanges) this.#commit(draft, true);
    this.#disk.shrink();
  }

  /** Reads the whole file again. @throws {@link QueueCorruptError} with all findings. */
  verify(): void {
    this.#refuseIfClosed();
    const { findings, ledger } = load(this.#disk);
    const { head } = this.#ledger.state;
    if (ledger !== undefined && findings.length === 0 && ledger.state.head.link === head.link) return;
    throw this.#damaged(
      findings[0] ?? { where: 'state', what: `it does not end at operation ${head.position}` },
    );
  }

  /** Commits what is staged, then gives the file free. Idempotent. */
  close(): void {
    if (this.#refusal instanceof QueueClosedError) return;
    while (!this.#staging.isEmpty) this.#flush();
    if (this.#refusal === undefined) this.#mark.sync();
    this.#refusal = new QueueClosedError(this.#disk.path);
    this.#disk.close();
  }

  #stage(edit: Edit): Promise<Receipt> {
    this.#refuseIfClosed();
    return new Promise((resolve, reject) => {
      const { kind, collection, id, key, payload, replaces } = edit;
      const staged = { kind, collection, id, key, payload, replaces, resolve, reject };
      if (this.#staging.add(staged)) this.#options.defer(this.#flush);
    });
  }

  /** One commit of what is staged; what does not fit into it has the next turn. */
  readonly #flush = (): void => {
    const { usedBytes, keptBytes } = this.#ledger;
    const group = this.#staging.take(this.#bytesMax - usedBytes + keptBytes);
    if (!this.#staging.isEmpty) this.#options.defer(this.#flush);
    if (group.length === 0) return;
    try {
      this.#makeRoom(group.reduce((bytes, staged) => bytes + sizeOf(staged), 0));
      const { draft, added } = draftAppend(this.#ledger, group, this.session, this.#sequence + 1, this.nowMs);
      this.#commit(draft, false);
      this.#sequence += added.length;
      for (const [index, { session, sequence, version }] of added.entries())
        group[index]?.resolve({ session, sequence, version });
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  };

  /** What is only kept makes way for new work. */
  #makeRoom(bytes: number): void {
    const { usedBytes, keptCount } = this.#ledger;
    if (usedBytes + bytes <= this.#bytesMax || keptCount === 0) return;
    const draft = new Draft(this.#ledger);
    this.#draftRetention(draft, 0, bytes);
    this.#commit(draft, true);
  }

  #draftRetention(draft: Draft, addedBytes: number, neededBytes: number): void {
    const { keptBytes, usedBytes } = this.#ledger;
    const excessBytes = this.#disk.isTight
      ? Number.POSITIVE_INFINITY
      : Math.max(keptBytes + addedBytes - this.#keptBytesMax, usedBytes + neededBytes - this.#bytesMax);
    const settledMsMax = this.#options.now() - this.#keptMsMax;
    draftRetention(this.#ledger, draft, { settledMsMax, excessBytes }, this.#lines);
  }

  #commit(draft: Draft, urgent: boolean): void {
    this.#refuseIfClosed();
    const writes = draft.writes();
    try {
      this.#disk.commit(writes, urgent);
      draft.adopt();
      this.#mark.advance(this.#ledger.state, writes.state.seal);
    } catch (error) {
      // Without room nothing was written; after anything else nobody knows.
      if (!(error instanceof QueueFullError)) this.#refusal = asError(error);
      throw error;
    }
    this.#fill.look(this.#ledger.usedBytes);
  }

  #operationOf(waiting: Waiting): Operation {
    const { session, sequence, version, base, replayed } = waiting;
    const { kind, collection, id, payload } = this.#lineOf(waiting);
    const operation = {
      session,
      sequence,
      collection,
      id,
      version,
      ...(base === undefined ? {} : { base }),
      ...(replayed ? { replayed } : {}),
    };
    return kind === 'put'
      ? { ...operation, kind, payload: JSON.parse(payload) as Json }
      : { ...operation, kind };
  }

  #lineOf(waiting: Waiting): Line {
    try {
      return parseLine(this.#lines(waiting.group)[waiting.index] as string);
    } catch (error) {
      this.#refusal = asError(error);
      throw error;
    }
  }

  #damaged(finding: Finding): QueueCorruptError {
    const error = new QueueCorruptError(this.#disk.path, [finding]);
    this.#refusal = error;
    return error;
  }

  /** Closed, or failed in a way that leaves the file's content unknown. */
  #refuseIfClosed(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
