// Whether a record's trail holds in one region (PROTOCOL 4.3): from the head that the item names, back by hash through
// outbox and bucket, with every losing payload. What the bucket has beside that chain is from an earlier life of the
// record, before it was swept or restored: it has no head any more, so the walk starts at its highest entry.
import { createHash } from 'node:crypto';
import {
  type AuditEntry,
  auditFolder,
  auditKey,
  type BrokenLink,
  CHAIN_START,
  losingPayloadKey,
  lostElsewhere,
  parseAuditKey,
  walkChain,
} from '../../protocol/audit.ts';
import type { RecordKey } from '../../protocol/names.ts';
import type { AuditPlace, TrailHead } from './places.ts';

export interface VerifyOptions {
  readonly place: AuditPlace;
  /** Asked for what is missing, to say who has it. */
  readonly peers: readonly AuditPlace[];
  readonly arrival: Arrival;
}

export interface RecordReport {
  readonly record: RecordKey;
  /** In all its chains. */
  readonly entries: number;
  readonly payloads: number;
  /** How many entries the item counts; `swept` when there is no item any more. */
  readonly from: number | 'swept';
  /** Chains that no item names the head of. */
  readonly headless: number;
  readonly broken: BrokenLink | undefined;
}

/** Patience with what a stream has not brought yet: the item's outbox may be trimmed before every region's archiver is
 * through. Once something did not come, nothing else is waited for. */
export class Arrival {
  readonly #waitMs: number;
  readonly #sleep: (ms: number) => Promise<unknown>;
  #isOver = false;

  constructor(waitMs: number, sleep: (ms: number) => Promise<unknown>) {
    this.#waitMs = waitMs;
    this.#sleep = sleep;
  }

  async of(get: () => Promise<string | undefined>): Promise<string | undefined> {
    let text = await get();
    for (let waited = 0; text === undefined && !this.#isOver && waited < this.#waitMs; waited += STEP_MS) {
      await this.#sleep(STEP_MS);
      text = await get();
    }
    if (text === undefined) this.#isOver = true;
    return text;
  }
}

const STEP_MS = 500;

export function sha256Of(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** `listed`: the record's keys in the bucket, listed before this, so that the head is never behind them. */
export async function verifyRecord(
  record: RecordKey,
  listed: readonly string[],
  options: VerifyOptions,
): Promise<RecordReport> {
  const head = await options.place.head(record);
  const trail = new Trail(record, head, options);
  const left = new Map(
    listed.flatMap((key) => {
      const link = parseAuditKey(key);
      return link ? [[key, link] as const] : [];
    }),
  );
  let chains = 0;
  let broken: BrokenLink | undefined;
  let next: { readonly sequence: number; readonly hash: string } | undefined =
    head && head.sequence > 0 ? head : highestOf(left.values());
  const fromHead = next !== undefined && next === head;
  while (next && !broken) {
    chains += 1;
    broken = await trail.walk(next);
    for (const key of trail.walked) left.delete(key);
    next = highestOf(left.values());
  }
  return {
    record,
    entries: trail.walked.size,
    payloads: trail.payloads,
    from: head ? head.sequence : 'swept',
    headless: chains - (fromHead ? 1 : 0),
    broken,
  };
}

/** In one region, the texts of one record's entries. */
class Trail {
  /** Keys of entries that hold, or of the one that does not. */
  readonly walked = new Set<string>();
  payloads = 0;
  readonly #record: RecordKey;
  readonly #options: VerifyOptions;
  readonly #texts: Map<string, string>;

  constructor(record: RecordKey, head: TrailHead | undefined, options: VerifyOptions) {
    this.#record = record;
    this.#options = options;
    const outbox = head?.outbox ?? [];
    const first = (head?.sequence ?? 0) - outbox.length + 1;
    this.#texts = new Map(
      outbox.map((text, index) => [auditKey(record, first + index, sha256Of(text)), text]),
    );
  }

  async walk(from: { readonly sequence: number; readonly hash: string }): Promise<BrokenLink | undefined> {
    this.walked.add(auditKey(this.#record, from.sequence, from.hash));
    try {
      const walk = await walkChain(from, (sequence, hash) => this.#textOf(sequence, hash), sha256Of);
      if ('broken' in walk) return await this.#explained(walk.broken);
      for (const [index, entry] of walk.entries.entries()) {
        const hash = walk.entries[index + 1]?.previous ?? from.hash;
        const what = await this.#faultOf(entry);
        if (what !== undefined) return { sequence: entry.sequence, hash, what };
      }
      return undefined;
    } catch (error) {
      if (error instanceof NoEntryError) return error.link;
      throw error;
    }
  }

  async #textOf(sequence: number, hash: string): Promise<string | undefined> {
    const key = auditKey(this.#record, sequence, hash);
    this.walked.add(key);
    const text = this.#texts.get(key) ?? (await arrived(this.#options, key));
    if (text === undefined) return undefined;
    this.#texts.set(key, text);
    if (sha256Of(text) === hash && !isObject(text))
      throw new NoEntryError({ sequence, hash, what: 'its content is no audit entry' });
    return text;
  }

  /** What is wrong with an entry whose place in the chain is right. */
  async #faultOf(entry: AuditEntry): Promise<string | undefined> {
    const { record } = entry;
    if (auditFolder(record) !== auditFolder(this.#record))
      return `it says of itself that it is of ${nameOf(record)}`;
    const sha256 = lostElsewhere(entry);
    if (sha256 === undefined) return undefined;
    const key = losingPayloadKey(record.tenant, sha256);
    const payload = await arrived(this.#options, key);
    if (payload === undefined)
      return `the payload that lost is not there: ${key}${await this.#elsewhere(key)}`;
    if (sha256Of(payload) !== sha256) return `the payload that lost hashes to ${sha256Of(payload)}: ${key}`;
    this.payloads += 1;
    return undefined;
  }

  async #explained(broken: BrokenLink): Promise<BrokenLink> {
    const key = auditKey(this.#record, broken.sequence, broken.hash);
    if (broken.hash === CHAIN_START || this.#texts.has(key)) return broken;
    return { ...broken, what: `${broken.what}${await this.#elsewhere(key)}` };
  }

  async #elsewhere(key: string): Promise<string> {
    const { place, peers } = this.#options;
    for (const peer of peers) {
      if (peer.region === place.region) continue;
      // A region that does not answer has nothing to add to what is broken here.
      const text = await peer.text(key).catch(() => undefined);
      if (text !== undefined)
        return `; ${peer.region} has it: npm run audit -- fill --region ${place.region}`;
    }
    return '';
  }
}

class NoEntryError extends Error {
  readonly link: BrokenLink;
  constructor(link: BrokenLink) {
    super(link.what);
    this.link = link;
  }
}

export function nameOf({ tenant, collection, id }: RecordKey): string {
  return `${tenant}/${collection}/${id}`;
}

function arrived({ place, arrival }: VerifyOptions, key: string): Promise<string | undefined> {
  return arrival.of(() => place.text(key));
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'record' in value && 'incoming' in value;
  } catch {
    return false;
  }
}

function highestOf<Link extends { readonly sequence: number }>(links: Iterable<Link>): Link | undefined {
  let highest: Link | undefined;
  for (const link of links) if (!highest || link.sequence > highest.sequence) highest = link;
  return highest;
}
