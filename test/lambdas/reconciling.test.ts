// Whatever two replicas are made to do, both reconcilers come to rest, at the highest version in both, with all that
// lost in an audit entry.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Content, Edit } from '../../lambdas/core/record.ts';
import { inTurn } from '../../lambdas/routes/reconciler.ts';
import { losingPayloadKey } from '../../protocol/audit.ts';
import { FEED_SETTLE_MS, LOST_INLINE_BYTES_MAX } from '../../protocol/limits.ts';
import { clockOf, type Version, versionOf } from '../../protocol/versions.ts';
import { createPair, entriesOf, KEY, type Replica } from './two-replicas.ts';

const START_MS = 1_800_000_000_000;

function contentOf(payload: string): Content {
  return { deleted: false, payload, sha256: createHash('sha256').update(payload).digest('hex') };
}

/** Somebody who edits: sees a replica, then writes on what it saw, through whichever. */
interface Author {
  readonly session: string;
  readonly maker: string;
  sequence: number;
  clockMs: number;
  base: Version | undefined;
}

type Act =
  | { readonly kind: 'look' | 'edit' | 'delete'; readonly author: number; readonly at: number }
  | { readonly kind: 'large' | 'again'; readonly author: number; readonly at: number }
  | {
      readonly kind: 'deliver' | 'reconcile' | 'redeliver' | 'trim';
      readonly at: number;
      readonly pick: number;
    };

const at = fc.constantFrom(0, 1);
const author = fc.integer({ min: 0, max: 2 });
const pick = fc.nat({ max: 50 });
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('edit' as const), author, at }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('look' as const), author, at }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('delete' as const, 'large' as const, 'again' as const),
      author,
      at,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom('deliver' as const, 'reconcile' as const, 'redeliver' as const, 'trim' as const),
      at,
      pick,
    }),
  },
);

class World {
  readonly pair: readonly [Replica, Replica];
  readonly authors: readonly Author[];
  readonly applied = new Map<Version, Edit>();
  /** Versions that somebody replaced who had seen them, or had made them. */
  readonly replaced = new Set<Version>();
  readonly settled = new Map<string, number>();
  readonly last = new Map<number, Edit>();
  nowMs = START_MS;

  constructor(skewMs: number) {
    this.pair = createPair(skewMs);
    this.authors = [0, 1, 2].map((index) => ({
      session: `s${index}`.repeat(16),
      maker: String(index + 1).repeat(16),
      sequence: 0,
      clockMs: 0,
      base: undefined,
    }));
  }

  replica(index: number): Replica {
    return this.pair[index] as Replica;
  }

  run(what: Act, passedMs: number): void {
    this.nowMs += passedMs;
    const replica = this.replica(what.at);
    switch (what.kind) {
      case 'deliver':
        replica.deliver(what.pick, this.nowMs);
        return;
      case 'reconcile':
        this.readStream(replica);
        return;
      case 'redeliver': {
        const again = replica.stream[what.pick % Math.max(1, replica.read)];
        if (again && replica.read > 0) replica.reconcile(again, this.nowMs);
        return;
      }
      case 'trim':
        replica.trim(this.nowMs);
        return;
      case 'look':
        this.author(what.author).base = replica.record?.version;
        return;
      case 'again': {
        const edit = this.last.get(what.author);
        if (edit) this.send(edit, replica);
        return;
      }
      default:
        this.edit(what.author, what.kind, replica);
    }
  }

  author(index: number): Author {
    return this.authors[index] as Author;
  }

  edit(index: number, kind: 'edit' | 'delete' | 'large', replica: Replica): void {
    const author = this.author(index);
    author.sequence += 1;
    const baseMs = author.base === undefined ? 0 : clockOf(author.base).ms;
    author.clockMs = Math.max(this.nowMs, author.clockMs + 1, baseMs + 1);
    const filler = kind === 'large' ? 'x'.repeat(LOST_INLINE_BYTES_MAX) : '';
    const edit: Edit = {
      key: KEY,
      session: author.session,
      sequence: author.sequence,
      version: versionOf({ ms: author.clockMs, counter: 0 }, author.maker),
      base: author.base,
      replayed: false,
      content:
        kind === 'delete'
          ? { deleted: true }
          : contentOf(JSON.stringify({ index, of: author.sequence, filler })),
    };
    this.last.set(index, edit);
    author.base = edit.version;
    this.send(edit, replica);
  }

  send(edit: Edit, replica: Replica): void {
    const stored = replica.record;
    const verdict = replica.settle(edit, this.nowMs);
    if (verdict.verdict !== 'applied' && verdict.verdict !== 'superseded') return;
    this.settled.set(edit.session, Math.max(edit.sequence, this.settled.get(edit.session) ?? 0));
    if (verdict.verdict === 'superseded') return;
    this.applied.set(edit.version, edit);
    const own = stored?.version.endsWith(edit.version.slice(-16));
    if (stored && (stored.version === edit.base || own)) this.replaced.add(stored.version);
  }

  readStream(replica: Replica): boolean {
    const change = replica.stream[replica.read];
    if (!change) return false;
    replica.reconcile(change, this.nowMs);
    replica.read += 1;
    return true;
  }

  /** Until nothing is under way any more; returns how many steps that took. */
  rest(): number {
    for (let steps = 0; ; steps += 1) {
      this.nowMs += 1_000;
      const replica = this.replica(steps % 2);
      if (replica.inbox.length > 0) replica.deliver(steps, this.nowMs);
      else if (!this.pair.map((it) => this.readStream(it)).includes(true))
        if (this.pair.every(({ inbox }) => inbox.length === 0)) return steps;
      assert.ok(steps < 5_000, 'the reconcilers go on answering each other');
    }
  }
}

function check(world: World): void {
  const [west, east] = world.pair;
  assert.deepEqual(west.record, east.record, 'both replicas hold the same');
  const highest = [...world.applied.keys()].sort().at(-1);
  assert.equal(west.record?.version, highest, 'the highest version that was ever applied');
  const entries = entriesOf(world.pair);
  const payloads = new Map(world.pair.flatMap(({ archive }) => [...archive]));
  for (const [version, { content }] of world.applied) {
    if (version === highest || world.replaced.has(version)) continue;
    const entry = entries.find(({ outcome, incoming, stored }) =>
      outcome === 'incoming'
        ? stored?.version === version && incoming.version !== version
        : incoming.version === version && stored?.version !== version,
    );
    assert.ok(entry, `${version} was replaced by somebody who had not seen it, and is in no entry`);
    assert.equal(entry.quorum, 'none');
    if (content.deleted) continue;
    const kept = entry.lost ?? payloads.get(losingPayloadKey(KEY.tenant, content.sha256));
    assert.equal(kept, content.payload, 'with its payload');
  }
  for (const [session, sequence] of world.settled)
    assert.ok(
      (west.record?.settled.get(session)?.sequence ?? 0) >= sequence,
      `${session} ${sequence} would take effect again`,
    );
  for (const { stream } of world.pair) {
    // It came at the first of these; whatever stamps the same version again only moves it on.
    const since = stream.slice(
      stream.findLastIndex(({ before, after }) => after?.version !== before?.version),
    );
    const inTime = since.filter(
      ({ after, atMs }) => after && atMs - clockOf(after.commitVersion).ms <= FEED_SETTLE_MS,
    );
    if (highest !== undefined) assert.ok(inTime.length > 0, 'no reader has passed it');
    const [first] = inTime;
    assert.ok(
      (first?.after?.commitVersion ?? '') <= (west.record?.commitVersion ?? ''),
      'and it never went back to where readers have been',
    );
  }
}

test('two replicas and both reconcilers come to rest at the highest version, and nothing is lost', () => {
  let reconciled = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(act, fc.constantFrom(1, 40, 2_000, 90_000)), { minLength: 5, maxLength: 60 }),
      fc.constantFrom(-3_000, 0, 3_000),
      (acts, skewMs) => {
        const world = new World(skewMs);
        for (const [what, passedMs] of acts) world.run(what, passedMs);
        world.rest();
        check(world);
        const writes = () => world.pair[0].reconciled + world.pair[1].reconciled;
        const before = writes();
        reconciled += before;
        assert.equal(world.rest(), 0, 'at rest it stays at rest');
        // As many as are remembered: more than that may cost a redundant entry.
        if (before > 8) return;
        for (const replica of world.pair)
          for (const change of [...replica.stream]) replica.reconcile(change, world.nowMs);
        assert.equal(writes(), before, 'whatever is delivered again changes nothing');
      },
    ),
    { numRuns: 1_000 },
  );
  assert.ok(reconciled > 300, `only ${reconciled} reconciliations: the property says nothing`);
});

/** In the order it was sent, each message as long on its way, both reconcilers at once. */
function restWithTransit(world: World, transitMs: number): void {
  for (let steps = 0; ; steps += 1) {
    while (world.pair.map((it) => world.readStream(it)).includes(true)) steps += 1;
    const next = world.pair
      .filter(({ inbox }) => inbox.length > 0)
      .sort((a, b) => Number(a.inbox[0]?.sentMs) - Number(b.inbox[0]?.sentMs))[0];
    if (!next) return;
    world.nowMs = Math.max(world.nowMs + 1, Number(next.inbox[0]?.sentMs) + transitMs);
    next.deliver(0, world.nowMs);
    assert.ok(steps < 1_000, 'the reconcilers go on answering each other');
  }
}

test('while replication takes longer than what is late, both ways and all the time, they come to rest too', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ kind: fc.constantFrom('look' as const, 'edit' as const, 'delete' as const), author, at }),
        { minLength: 1, maxLength: 12 },
      ),
      fc.integer({ min: FEED_SETTLE_MS / 2 + 1, max: 3_600_000 }),
      fc.constantFrom(-3_000, 0, 3_000),
      (acts, transitMs, skewMs) => {
        const world = new World(skewMs);
        for (const what of acts) world.run(what, 2_000);
        restWithTransit(world, transitMs);
        check(world);
      },
    ),
    { numRuns: 300 },
  );
});

test('while one side writes and the other follows, and after it has moved, nothing is to be put right', () => {
  const world = new World(0);
  for (const [at, count] of [
    [0, 5],
    [1, 5],
    [0, 5],
  ] as const)
    for (let edits = 0; edits < count; edits += 1) {
      world.run({ kind: 'look', author: 0, at }, 10);
      world.run({ kind: edits % 2 ? 'edit' : 'delete', author: 0, at }, 10);
      world.run({ kind: 'trim', at, pick: 0 }, 10);
      world.run({ kind: 'deliver', at: 1 - at, pick: 0 }, 10);
      world.run({ kind: 'deliver', at: 1 - at, pick: 0 }, 10);
    }
  world.rest();
  check(world);
  assert.deepEqual(
    world.pair.map(({ reconciled }) => reconciled),
    [0, 0],
  );
  assert.deepEqual(entriesOf(world.pair), []);
});

test('readers of one batch run in turn, and what either failed at comes back once', async () => {
  const ran: string[] = [];
  const failing =
    (name: string, ...ids: string[]) =>
    async () => {
      ran.push(name);
      return { batchItemFailures: ids.map((itemIdentifier) => ({ itemIdentifier })) };
    };
  const both = inTurn(failing('archiver', '1'), failing('reconciler', '1', '2'));
  assert.deepEqual(await both({}), {
    batchItemFailures: [{ itemIdentifier: '1' }, { itemIdentifier: '2' }],
  });
  assert.deepEqual(ran, ['archiver', 'reconciler']);
});
