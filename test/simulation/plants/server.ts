// Rules that the functions keep: writes, votes, audit trail, pulls, sweeps.
import type { Plant } from './plant.ts';

const RECORD_ITEMS = 'lambdas/store/record-items.ts';
/** In place of another condition: DynamoDB takes no empty one. */
const EXISTS = "draft.require('attribute_exists(' + draft.name(ATTRIBUTES.pk) + ')');";
const TRIM = `  setOutbox(draft, outbox);
  requireCommit(draft, commitVersion);`;

export const WRITE_PLANTS: readonly Plant[] = [
  {
    rule: '1.3 greater than the stored one',
    what: 'a decision is stamped without regard to the stored commit version',
    profile: 'conflicts',
    mutations: [
      { file: 'lambdas/vote.ts', find: 'commits.observe(stored.commitVersion);', replace: '' },
      {
        file: 'lambdas/core/classify.ts',
        find: "if (compareVersions(stored.commitVersion, commit) >= 0) return { kind: 'stamp_again', stored };",
        replace: '',
      },
    ],
  },
  {
    rule: '1.3 abandoned, socket destroyed',
    what: 'an attempt that is given up keeps its socket and lands later',
    profile: 'slowStore',
    mutations: [
      {
        file: 'lambdas/store/attempts.ts',
        find: 'return await send(controller.signal);',
        replace: `return await Promise.race([
      send(new AbortController().signal),
      new Promise<never>((_, reject) => {
        controller.signal.addEventListener('abort', () => reject(new Error('given up')));
      }),
    ]);`,
      },
    ],
  },
  {
    rule: '3.1 version = :base',
    what: 'a write does not ask for its base',
    mutations: [
      {
        file: RECORD_ITEMS,
        find: 'draft.value({ S: base })',
        replace: 'stored',
      },
    ],
  },
  {
    rule: '3.1 below version and commit',
    what: 'a write asks neither for a lower version nor for a lower commit version',
    profile: 'conflicts',
    mutations: [
      {
        file: RECORD_ITEMS,
        find: `
      .require(\`\${stored} < \${draft.value({ S: version })}\`)
      .require(\`\${draft.name(ATTRIBUTES.commitVersion)} < \${draft.value({ S: commitVersion })}\`)`,
        replace: '',
      },
    ],
  },
  {
    rule: '3.1 in this one write',
    what: 'the settled sequence is left out of the write',
    mutations: [{ file: RECORD_ITEMS, find: 'if (settles) setSettled(draft, settles);', replace: '' }],
  },
  {
    rule: '3.2 lower restore epoch',
    what: 'a request of a lower restore epoch is processed',
    profile: 'restores',
    mutations: [
      {
        file: 'lambdas/core/admission.ts',
        find: "return known < restoreEpoch ? { kind: 'behind', restoreEpoch } : { kind: 'ahead' };",
        replace: "return known < restoreEpoch ? { kind: 'admitted', restoreEpoch } : { kind: 'ahead' };",
      },
    ],
  },
  {
    rule: '3.2 sequence at most w: duplicate',
    what: 'an operation that was settled before is judged anew',
    mutations: [
      {
        file: 'lambdas/core/classify.ts',
        find: "if (isSettled(edit, stored)) return { kind: 'duplicate', version: stored.version };",
        replace: '',
      },
    ],
  },
  {
    rule: '3.2 made by the same file',
    what: "the same file's own version is put to the vote",
    profile: 'clocks',
    mutations: [
      {
        file: 'lambdas/core/classify.ts',
        find: "if (makerOf(stored.version) !== makerOf(edit.version)) return { kind: 'conflict', stored };",
        replace: "if (stored.version !== edit.base) return { kind: 'conflict', stored };",
      },
    ],
  },
  {
    rule: '3.2 not above it: clock_ahead',
    what: "an edit that is not above its own file's version is put to the vote",
    profile: 'clocks',
    mutations: [
      {
        file: 'lambdas/core/classify.ts',
        find: ": { kind: 'clock_ahead', version: stored.version };",
        replace: ": { kind: 'conflict', stored };",
      },
    ],
  },
  {
    rule: '3.3 too old',
    what: 'an operation is taken however old it is',
    profile: 'months',
    mutations: [
      {
        file: 'lambdas/core/timeliness.ts',
        find: "? 'too_old' : 'in_time'",
        replace: "? 'in_time' : 'in_time'",
      },
    ],
  },
  {
    rule: '5.3 stops at deferred',
    what: 'a batch goes on behind a deferred operation',
    mutations: [{ file: 'lambdas/routes/push.ts', find: "verdict === 'deferred' || ", replace: '' }],
  },
  {
    rule: '5.3 stops at clock_ahead, rejected',
    what: 'a batch goes on behind an operation with a clock ahead, or a rejected one',
    profile: 'clocks',
    mutations: [
      {
        file: 'lambdas/routes/push.ts',
        find: " || verdict === 'clock_ahead' || verdict === 'rejected'",
        replace: '',
      },
    ],
  },
];

export const VOTE_PLANTS: readonly Plant[] = [
  {
    rule: '4.1 votes of the voted copy',
    what: 'voters read without consistency, and vote on whatever they hold',
    profile: 'conflicts',
    mutations: [
      { file: 'lambdas/store/copies.ts', find: 'ConsistentRead: true', replace: 'ConsistentRead: false' },
      {
        file: 'lambdas/core/voting.ts',
        find: "if (copy.record.commitVersion !== commitVersion) return 'void';",
        replace: '',
      },
    ],
  },
  {
    rule: '4.2 commit version unchanged',
    what: 'a decision is written whatever has come since the vote',
    profile: 'conflicts',
    mutations: [{ file: RECORD_ITEMS, find: 'requireCommit(draft, decidedOn);', replace: EXISTS }],
  },
  {
    rule: '4.2 the audit entry in the same write',
    what: 'a decision is written without its entry',
    profile: 'conflicts',
    mutations: [
      {
        file: RECORD_ITEMS,
        find: `  setAudit(draft, audit);
  setSettled(draft, settles);`,
        replace: '  setSettled(draft, settles);',
      },
    ],
  },
  {
    rule: '4.2 from a copy that voted',
    what: 'the losing payload is the one that the failed write gave back',
    profile: 'conflicts',
    mutations: [
      {
        file: 'lambdas/vote.ts',
        find: '{ outcome, votes, stored: voter },',
        replace: '{ outcome, votes, stored: conflict.stored },',
      },
    ],
  },
  {
    rule: '4.3 every region archives',
    what: 'only the primary region archives',
    profile: 'conflicts',
    mutations: [
      {
        file: 'lambdas/routes/archiver.ts',
        find: 'await audits.own.archive(record, sequence, hash, text);',
        replace: 'if (region === regions.primary) await audits.own.archive(record, sequence, hash, text);',
      },
    ],
  },
  {
    rule: '4.3 <sequence>-<hash>',
    what: 'entries are archived by their sequence alone',
    profile: 'restores',
    mutations: [
      {
        file: 'protocol/audit.ts',
        find: 'export function auditKey(record: RecordKey, sequence: number, hash: string): string {',
        replace:
          "export function auditKey(record: RecordKey, sequence: number, hash: string): string { hash = '';",
      },
    ],
  },
  {
    rule: '4.3 trims what is unchanged',
    what: 'an outbox is trimmed whatever has come since it was archived',
    profile: 'archives',
    mutations: [{ file: RECORD_ITEMS, find: TRIM, replace: `  setOutbox(draft, outbox);\n  ${EXISTS}` }],
  },
];

export const FEED_PLANTS: readonly Plant[] = [
  {
    rule: '6.1 the cursor is the pair',
    what: 'feed and cursor know the commit version alone',
    profile: 'paging',
    mutations: [
      {
        file: 'protocol/items.ts',
        find: 'export function feedOrderOf(commitVersion: Version, key: RecordKey): string {',
        replace:
          "export function feedOrderOf(commitVersion: Version, key: RecordKey): string { if (key) return commitVersion + '#';",
      },
    ],
  },
  {
    rule: '6.2 checked at most 60 s ago',
    what: "a pull trusts the feed's last check, however old",
    profile: 'feed',
    mutations: [
      {
        file: 'protocol/steadiness.ts',
        find: 'if (agoMs > FEED_CHECK_AGE_MS_MAX) return',
        replace: 'if (agoMs > Number.POSITIVE_INFINITY) return',
      },
    ],
  },
  {
    rule: '6.2 steady for 20 s',
    what: 'a pull trusts a feed as soon as one check found it fresh',
    profile: 'feed',
    mutations: [
      {
        file: 'protocol/steadiness.ts',
        find: 'return forMs < FEED_STEADY_MS_MIN ?',
        replace: 'return forMs < 0 ?',
      },
    ],
  },
  {
    rule: '6.3 120 s behind now',
    what: 'a checkpoint moves up to the time the pull began',
    mutations: [
      {
        file: 'lambdas/core/pulling.ts',
        find: 'positionAt(completeOf(pull) - FEED_SETTLE_MS)',
        replace: 'positionAt(completeOf(pull))',
      },
    ],
  },
  {
    rule: '6.3 now before the first read',
    what: "a paged pull's checkpoint counts from its last page",
    profile: 'paging',
    mutations: [
      {
        file: 'lambdas/core/pulling.ts',
        find: 'return { ...cursor, ...lesser(cursor, reach), positions: cursor.positions };',
        replace: 'return { ...cursor, ...reach, positions: cursor.positions };',
      },
    ],
  },
  {
    rule: '6.4 a lower restore epoch is a resync',
    what: 'a pull goes on across a restore',
    profile: 'oldBackups',
    mutations: [
      {
        file: 'lambdas/core/pulling.ts',
        find: 'if (!cursor || cursor.restoreEpoch !== restoreEpoch)',
        replace: 'if (!cursor)',
      },
      {
        file: 'client/queue/restore.ts',
        find: '    cursor: null,\n',
        replace: '',
      },
    ],
  },
];

export const MAINTENANCE_PLANTS: readonly Plant[] = [
  {
    rule: '7 after 93 days',
    what: 'tombstones are swept after 60 days',
    profile: 'months',
    mutations: [
      {
        file: 'lambdas/core/sweeping.ts',
        find: 'ms: nowMs - TOMBSTONE_AGE_MS_MIN,',
        replace: 'ms: nowMs - (TOMBSTONE_AGE_MS_MIN * 60) / 93,',
      },
    ],
  },
  {
    rule: '7 outbox empty',
    what: 'a tombstone is swept with entries in its outbox',
    profile: 'tombstones',
    mutations: [
      {
        file: RECORD_ITEMS,
        find: '#c = :c AND #d = :true AND attribute_not_exists(#o)',
        replace: '#c = :c AND #d = :true',
      },
    ],
  },
  {
    rule: '8.1 close',
    what: 'a restore loads while writes go on',
    profile: 'restores',
    simulated: true,
    mutations: [
      {
        file: 'test/simulation/restore.ts',
        find: "world.setGeneration('restoring', epoch);",
        replace: '',
      },
    ],
  },
  {
    rule: '8.1 a copy at most 5 s old',
    what: 'functions look at the generation item once a minute',
    profile: 'restores',
    mutations: [
      {
        file: 'lambdas/generation.ts',
        find: 'now() - copy.readAt < GENERATION_AGE_MS_MAX',
        replace: 'now() - copy.readAt < 12 * GENERATION_AGE_MS_MAX',
      },
    ],
  },
  {
    rule: '8.1 raise the epoch',
    what: 'a restore opens under the old epoch',
    profile: 'restores',
    simulated: true,
    mutations: [
      {
        file: 'test/simulation/restore.ts',
        find: 'const raised = Math.max(epoch + 1, Math.floor(scheduler.nowMs));',
        replace: 'const raised = epoch;',
      },
    ],
  },
];
