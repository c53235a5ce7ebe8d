// Rules that devices keep: identity, bases, batches, re-stamping, resyncs, replays.
import type { Plant } from './plant.ts';

const QUEUE_SETTLE = 'client/queue/settle.ts';
const STAMPS = 'client/queue/stamps.ts';
const RESTORE = 'client/queue/restore.ts';
const PULL = 'client/queue/pull.ts';

export const DEVICE_PLANTS: readonly Plant[] = [
  {
    rule: '1.2 session and sequence for life',
    what: 'a re-stamped operation goes under another session',
    profile: 'clocks',
    mutations: [
      {
        file: 'client/queue/waiting.ts',
        find: `  get session(): string {
    return this.group.session;
  }`,
        replace: `  #made: Version | undefined;
  get session(): string {
    this.#made ??= this.version;
    return this.version === this.#made ? this.group.session : this.version.replaceAll('-', '');
  }`,
      },
    ],
  },
  {
    rule: '3.3 the client quarantines',
    what: 'a rejected operation is dropped',
    profile: 'months',
    mutations: [
      {
        file: QUEUE_SETTLE,
        find: 'this.#quarantine(waiting, verdict.reason, verdict.detail);',
        replace: 'this.#keep(waiting, waiting.version);',
      },
    ],
  },
  {
    rule: '5.1 never known from a verdict only',
    what: 'the version in a verdict becomes a base though nobody saw its payload',
    profile: 'conflicts',
    mutations: [
      {
        file: QUEUE_SETTLE,
        find: 'this.#superseded.push({ ...this.#lost(waiting), stored: verdict.version });',
        replace:
          'this.#superseded.push({ ...this.#lost(waiting), stored: verdict.version }); this.#hold(waiting, verdict.version);',
      },
    ],
  },
  {
    rule: '5.2 one batch a key',
    what: 'what follows on a key is sent while its predecessor is under way',
    mutations: [
      {
        file: 'client/queue/in-flight.ts',
        find: 'if (this.#keys.has(waiting.key) || excluded?.has(waiting.key)) continue;',
        replace:
          'if (this.#operations.has(nameOf(waiting.session, waiting.sequence)) || excluded?.has(waiting.key)) continue;',
      },
      {
        file: 'client/queue/in-flight.ts',
        find: 'if (!this.#anyOpen(excluded)) return undefined;',
        replace: '',
      },
    ],
  },
  {
    rule: '5.4 every unsettled operation',
    what: 'only the first operation of a chain is re-stamped',
    profile: 'farClocks',
    mutations: [
      {
        file: QUEUE_SETTLE,
        find: 'filter((waiting) => !this.#settled.has(waiting));',
        replace: 'filter((waiting) => !this.#settled.has(waiting)).slice(0, 1);',
      },
    ],
  },
  {
    rule: '5.4 base + 1',
    what: 'a re-stamped operation may come to stand below its base',
    profile: 'clocks',
    mutations: [
      {
        file: STAMPS,
        find: '    if (base !== undefined) floor = later(floor, successor(clockOf(base)));\n    const version',
        replace: '    const version',
      },
    ],
  },
  {
    rule: '6.4 with or after the data',
    what: 'the checkpoint is durable before the data it covers',
    profile: 'paging',
    mutations: [
      {
        file: 'client/queue/queue.ts',
        find: '    const draft = new Draft(this.#ledger);\n    const pulled = draftPull(',
        replace: `    const first = new Draft(this.#ledger);
    first.setState({ cursor: page.cursor });
    this.#commit(first, true);
    const draft = new Draft(this.#ledger);
    const pulled = draftPull(`,
      },
    ],
  },
  {
    rule: '6.4 accept lower versions',
    what: 'a resync keeps what it holds when the server has a lower version',
    profile: 'oldBackups',
    mutations: [
      {
        file: PULL,
        find: 'held.seen !== number && (order === 0 || !stands(held));',
        replace: 'false;',
      },
    ],
  },
  {
    rule: '6.4 drop what is not returned',
    what: 'a resync keeps records that are gone',
    profile: 'oldBackups',
    mutations: [
      {
        file: PULL,
        find: 'const dropped = ends ? dropUnseen(ledger, draft, stands) : 0;',
        replace: 'const dropped = 0;',
      },
    ],
  },
  {
    rule: '6.4 drop an own write, too',
    what: 'what a device wrote itself outlives a resync that comes long after it was swept',
    profile: 'lateReaders',
    mutations: [
      {
        file: QUEUE_SETTLE,
        find: 'payload, resync.number, this.#input.nowMs);',
        replace: 'payload, resync.number + 1, this.#input.nowMs);',
      },
    ],
  },
  {
    rule: '6.4 keep queued operations',
    what: 'a resync empties the queue',
    profile: 'restores',
    mutations: [
      {
        file: 'client/queue/queue.ts',
        find: '    const pulled = draftPull(this.#ledger, draft, page, this.nowMs);',
        replace: `    if (page.resync && !draft.state.resync.active)
      for (const waiting of this.#ledger.waiting) draft.setOutcome(waiting.group, waiting.index, DROPPED);
    if (page.resync && !draft.state.resync.active)
      draft.afterwards(() => {
        for (const waiting of this.#ledger.waiting) this.#ledger.waiting.remove(waiting);
      });
    const pulled = draftPull(this.#ledger, draft, page, this.nowMs);`,
      },
    ],
  },
  {
    rule: '8.2 a lower epoch is ignored',
    what: 'an answer of a lower restore epoch settles operations',
    profile: 'restores',
    mutations: [
      {
        file: 'client/queue/queue.ts',
        find: 'if (restoreEpoch < this.restoreEpoch) return undefined;',
        replace: '',
      },
    ],
  },
  {
    rule: '8.2 queue all kept operations again',
    what: 'a restore is noted, and nothing is sent again',
    profile: 'restores',
    mutations: [{ file: RESTORE, find: "if (outcome?.state !== 'kept') continue;", replace: 'continue;' }],
  },
  {
    rule: '8.2 in the order they were made',
    what: 'operations are sent again the last one first',
    profile: 'restores',
    mutations: [
      {
        file: 'client/queue/waiting.ts',
        find: 'return a.group.position - b.group.position || a.index - b.index;',
        replace: 'return b.group.position - a.group.position || b.index - a.index;',
      },
    ],
  },
];

export const FAULT_PLANTS: readonly Plant[] = [
  {
    rule: 'no fsync',
    what: 'commits stay in the cache of the operating system',
    profile: 'crashes',
    simulated: true,
    mutations: [
      { file: 'test/simulation/device.ts', find: 'forgetsToSync: false', replace: 'forgetsToSync: true' },
    ],
  },
  {
    rule: 'acknowledged before durable',
    what: 'an edit is reported safe before its commit',
    profile: 'crashes',
    mutations: [
      {
        file: 'client/queue/queue.ts',
        find: '      this.#commit(draft, false);\n',
        replace: '      this.#options.defer(() => this.#commit(draft, false));\n',
      },
    ],
  },
  {
    rule: 'verdict misread',
    what: 'deferred passes for settled',
    mutations: [
      {
        file: QUEUE_SETTLE,
        find: "      case 'deferred':\n        return;\n",
        replace:
          "      case 'deferred':\n        this.#keep(waiting, waiting.version);\n        this.#settled.add(waiting);\n        return;\n",
      },
    ],
  },
  {
    rule: 'batch emptied before it was sent',
    what: 'operations are settled as they leave',
    mutations: [
      {
        file: 'client/sync/sender.ts',
        find: '    const sending = this.#send(sent).finally(() => {',
        replace: `    this.#queue.settle({
      verdicts: batch.operations.map(({ session, sequence, version }) => ({
        session, sequence, version, verdict: 'applied',
      })),
      restoreEpoch: this.#queue.restoreEpoch,
    });
    const sending = this.#send(sent).finally(() => {`,
      },
    ],
  },
  {
    rule: 'hedge counted twice',
    what: 'the answer to the second copy of a push counts as well',
    mutations: [
      {
        file: 'client/sync/sender.ts',
        find: '    const settlement = this.#queue.settle(answer);',
        replace: `    const first = this.#queue.settle(answer);
    if (first !== undefined) this.#report(first, 0, 0);
    const settlement = first;`,
      },
    ],
  },
  {
    rule: 'tenants in one feed',
    what: 'the feed leaves the tenant out',
    mutations: [
      {
        file: 'protocol/items.ts',
        find: 'export function feedShard(tenant: string, shard: number): string {',
        replace: "export function feedShard(tenant: string, shard: number): string { tenant = 'all';",
      },
    ],
  },
  {
    rule: 'minority accepts',
    what: 'a region that is cut off takes writes on its own copy, which is overruled later',
    simulated: true,
    mutations: [
      {
        file: 'test/simulation/dynamodb.ts',
        find: `lostAfter } = this.#faults();
    if (!this.#table.reachesMajority(this.#region)) return this.#refusal();`,
        replace: `lostAfter } = this.#faults();
    if (!this.#table.reachesMajority(this.#region))
      return holds(input.ConditionExpression, this.#table.copyAt(pk, this.#region), input)
        ? { value: {} }
        : { error: conditionFailed(this.#table.copyAt(pk, this.#region)) };`,
      },
    ],
  },
];
