// Whether a record's trail holds in one region (PROTOCOL 4.3): from the head that the item names, back by hash through
// outbox and bucket, with every losing payload, and along each branch that an entry says was left. What the bucket has
// beside that is from an earlier life of the record, before it was swept or restored: it has no head any more, so the
// walk starts at its highest entry.
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
  /** Chains that an entry says were left (docs/GOVCLOUD.md). */
  readonly branches: number;
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
  let next: Link | undefined = head && head.sequence > 0 ? head : highestOf(left.values());
  const fromHead = next !== undefined && next === head;
  while (next && !broken) {
    chains += 1;
    broken = (await trail.walk(next)) ?? (await trail.walkBranches());
    for (const key of trail.walked) left.delete(key);
    next = highestOf(left.values());
  }
  return {
    record,
    entries: trail.walked.size,
    payloads: trail.payloads,
    from: head ? head.sequence : 'swept',
    headless: chains - (fromHead ? 1 : 0),
    branches: trail.branches,
    broken,
  };
}

interface Link {
  readonly sequence: number;
  readonly hash: string;
}

type Get = (key: string) => Promise<string | undefined>;

/** Where a chain's texts are looked for, and what to say of one that is not there. */
interface Source {
  readonly get: Get;
  readonly missing: string;
}

/** In one region, the texts of one record's entries. */
class Trail {
  /** Keys of entries that hold, or of the one that does not. */
  readonly walked = new Set<string>();
  payloads = 0;
  /** Those walked so far. */
  branches = 0;
  readonly #record: RecordKey;
  readonly #options: VerifyOptions;
  readonly #texts: Map<string, string>;
  /** Hashes of the entries that hold, by themselves; chains share their beginnings. */
  readonly #holding = new Set<string>();
  /** Ends of branches, not walked yet. */
  readonly #left: Link[] = [];

  constructor(record: RecordKey, head: TrailHead | undefined, options: VerifyOptions) {
    this.#record = record;
    this.#options = options;
    const outbox = head?.outbox ?? [];
    const first = (head?.sequence ?? 0) - outbox.length + 1;
    this.#texts = new Map(
      outbox.map((text, index) => [auditKey(record, first + index, sha256Of(text)), text]),
    );
  }

  /** A chain of this region's: all of it has to be here. */
  walk(from: Link): Promise<BrokenLink | undefined> {
    return this.#walk(from, { get: (key) => this.#here(key), missing: '' });
  }

  /** What the chains walked so far left: it stands in the bucket of the region that wrote it, which may be another. */
  async walkBranches(): Promise<BrokenLink | undefined> {
    for (let end = this.#left.shift(); end; end = this.#left.shift()) {
      if (this.walked.has(auditKey(this.#record, end.sequence, end.hash))) continue;
      this.branches += 1;
      const missing = `, in no bucket that answers, of the branch that was left at entry ${end.sequence}`;
      const broken = await this.#walk(end, { get: (key) => this.#anywhere(key), missing });
      if (broken) return broken;
    }
    return undefined;
  }

  async #walk(from: Link, { get, missing }: Source): Promise<BrokenLink | undefined> {
    this.walked.add(auditKey(this.#record, from.sequence, from.hash));
    try {
      const walk = await walkChain(from, (sequence, hash) => this.#textOf(sequence, hash, get), sha256Of);
      if ('broken' in walk) return await this.#explained(walk.broken, missing);
      for (const [index, entry] of walk.entries.entries()) {
        const hash = walk.entries[index + 1]?.previous ?? from.hash;
        if (this.#holding.has(hash)) continue;
        const what = await this.#faultOf(entry, get);
        if (what !== undefined) return { sequence: entry.sequence, hash, what };
        this.#holding.add(hash);
        if (entry.merges) this.#left.push(entry.merges);
      }
      return undefined;
    } catch (error) {
      if (error instanceof NoEntryError) return error.link;
      throw error;
    }
  }
  async #textOf(sequence: number, hash: string, get: Get): Promise<string | undefined> {
    const key = auditKey(this.#record, sequence, hash);
    this.walked.add(key);
    const text = this.#texts.get(key) ?? (await get(key));
    if (text === undefined) return undefined;
    this.#texts.set(key, text);
    if (sha256Of(text) === hash && !isObject(text))
      throw new NoEntryError({ sequence, hash, what: 'its content is no audit entry' });
    return text;
  }

  /** What is wrong with an entry whose place in the chain is right. */
  async #faultOf(entry: AuditEntry, get: Get): Promise<string | undefined> {
    const { record } = entry;
    if (auditFolder(record) !== auditFolder(this.#record))
      return `it says of itself that it is of ${nameOf(record)}`;
    const sha256 = lostElsewhere(entry);
    if (sha256 === undefined) return undefined;
    const key = losingPayloadKey(record.tenant, sha256);
    const payload = await get(key);
    if (payload === undefined)
      return `the payload that lost is not there: ${key}${await this.#elsewhere(key)}`;
    if (sha256Of(payload) !== sha256) return `the payload that lost hashes to ${sha256Of(payload)}: ${key}`;
    this.payloads += 1;
    return undefined;
  }

  async #here(key: string): Promise<string | undefined> {
    const { place, arrival } = this.#options;
    return arrival.of(() => place.text(key));
  }

  async #anywhere(key: string): Promise<string | undefined> {
    const { place, arrival } = this.#options;
    return arrival.of(async () => (await place.text(key)) ?? (await this.#atPeer(key))?.text);
  }

  async #explained(broken: BrokenLink, why: string): Promise<BrokenLink> {
    const key = auditKey(this.#record, broken.sequence, broken.hash);
    if (broken.hash === CHAIN_START || this.#texts.has(key)) return broken;
    return { ...broken, what: `${broken.what}${why}${await this.#elsewhere(key)}` };
  }

  async #atPeer(key: string): Promise<{ readonly region: string; readonly text: string } | undefined> {
    const { place, peers } = this.#options;
    for (const peer of peers) {
      if (peer.region === place.region) continue;
      // A region that does not answer has nothing to add to what is broken here.
      const text = await peer.text(key).catch(() => undefined);
      if (text !== undefined) return { region: peer.region, text };
    }
    return undefined;
  }

  async #elsewhere(key: string): Promise<string> {
    const having = await this.#atPeer(key);
    if (!having) return '';
    return `; ${having.region} has it: npm run audit -- fill --region ${this.#options.place.region}`;
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
