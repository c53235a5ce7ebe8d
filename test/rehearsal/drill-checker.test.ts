// The judge on trial: histories with one thing planted in them, which it has to find and name; and one without, in which
// it has to find nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditText, CHAIN_START } from '../../protocol/audit.ts';
import { checkHistory } from '../../rehearsal/drills/checker.ts';
import type { LoggedState, Made } from '../../rehearsal/drills/sync/history.ts';
import { sha256 } from '../../rehearsal/drills/sync/keep.ts';
import {
  device,
  entry,
  KEY,
  logged,
  made,
  mark,
  read,
  rules,
  sent,
  version,
  WEST,
  whole,
  withLog,
} from './planted-history.ts';

test('a history as it should be has no findings, and is counted', () => {
  const { findings, counts } = checkHistory(whole(), sha256);
  assert.deepEqual(findings, []);
  assert.deepEqual(counts, {
    made: 3,
    acknowledged: 3,
    effects: 2,
    audited: 1,
    copiesPerOperation: 1,
    verdicts: { applied: 2, superseded: 1 },
    reads: 3,
  });
});

test('an edit that is nowhere is lost; one that still waits is not delivered; one never acknowledged is neither', () => {
  const history = whole();
  assert.deepEqual(rules({ ...history, made: [...history.made, made('east', 3)] }), ['lost']);
  const waiting = [device('east', history.devices[0]?.held?.get(KEY), { pending: 1 })];
  assert.deepEqual(rules({ ...history, made: [...history.made, made('east', 3)], devices: waiting }), [
    'undelivered',
  ]);
  const dead: Made = { by: 'east', n: 3, key: KEY };
  assert.deepEqual(rules({ ...history, made: [...history.made, dead] }), []);
});

test('of more missing edits than wait on the device, the earlier ones are lost', () => {
  const history = whole();
  const made3 = [...history.made, made('east', 3), made('east', 4)];
  const devices = [device('east', history.devices[0]?.held?.get(KEY), { pending: 1 })];
  const { findings } = checkHistory({ ...history, made: made3, devices }, sha256);
  assert.deepEqual(
    findings.map(({ rule, what }) => [rule, what.slice(0, 6)]),
    [
      ['lost', 'east 3'],
      ['undelivered', 'east 4'],
    ],
  );
});

test('an edit in quarantine is not lost', () => {
  const history = whole();
  const end = history.devices[0]?.held?.get(KEY);
  const devices = [device('east', end, { quarantined: [mark('east', 3)] })];
  assert.deepEqual(rules({ ...history, made: [...history.made, made('east', 3)], devices }), []);
});

test('a losing edit whose payload is in no audit entry is lost, and its verdict was false', () => {
  const log = whole().log.slice(0, 2);
  assert.deepEqual(rules(withLog(log)), ['lost', 'false_verdict']);
});

test('an edit that became the state twice is a duplicate, under the same stamp or another', () => {
  const [first, second] = [version(100), version(200)];
  const east = (n: number) => ({ mark: mark('east', n) });
  const again = withLog(
    [
      logged(1, first, undefined, east(1)),
      logged(2, second, first, east(2)),
      logged(3, version(300), second, east(1)),
    ],
    {
      sent: [
        sent('east', 1, 100),
        sent('east', 2, 200, { base: first }),
        sent('east', 1, 300, { base: second }),
      ],
    },
  );
  assert.ok(rules({ ...again, made: [made('east', 1), made('east', 2)] }).includes('duplicated'));
});

test('an edit that lost two votes, or lost one and won, is a duplicate', () => {
  const history = whole();
  const [stored, lost] = [version(200), version(150, WEST)];
  const one = auditText(entry(1, CHAIN_START, lost, stored));
  const two = auditText(entry(2, sha256(one), lost, stored));
  const twice = history.log.with(
    3,
    logged(4, stored, stored, {
      mark: mark('east', 2),
      audit: { sequence: 2, head: sha256(two) },
      outbox: [one, two],
    }),
  );
  assert.deepEqual(rules({ ...history, log: twice }), ['duplicated']);
});

test('a cut-off region that settles what reached it during the cut has accepted in a minority', () => {
  const cuts = [{ region: 'us-east-2', from: 150, to: 1_000 }];
  assert.deepEqual(rules(whole({ cuts })), ['minority_accepted']);
  // What it was already working on when the cut came may have been committed before; the other region may take anything.
  assert.deepEqual(rules(whole({ cuts: [{ region: 'us-east-2', from: 305, to: 1_000 }] })), []);
  assert.deepEqual(rules(whole({ cuts: [{ region: 'us-west-2', from: 0, to: 1_000 }] })), []);
});

test('what the log has it write during the cut counts, however early the request came', () => {
  const history = whole();
  const at = (order: number, ms: number) => ({
    ...history,
    log: history.log.map((each) => (each.order === order ? { ...each, at: ms } : each)),
    cuts: [{ region: 'us-east-2', from: 1_500, to: 9_000 }],
  });
  // The east's second edit, which went nowhere else; then the decision that the east made.
  assert.deepEqual(rules(at(2, 2_000)), ['minority_accepted']);
  assert.deepEqual(rules(at(3, 2_000)), ['minority_accepted']);
  // The second in which the cut came, or healed, proves nothing.
  assert.deepEqual(rules(at(2, 1_000)), []);
  assert.deepEqual(rules(at(3, 8_500)), []);
  // Sent to another region as well, it may have been written there.
  const west = sent('east', 2, 205, { base: version(100), region: 'us-west-2', version: version(200) });
  assert.deepEqual(rules({ ...at(2, 2_000), sent: [...history.sent, west] }), []);
});

test('deferring and refusing is no accepting', () => {
  const history = whole();
  const deferred = sent('east', 3, 400, {
    answer: { at: 410, verdict: 'deferred', reason: 'store_unavailable' },
  });
  const refused = sent('east', 3, 420, { refused: true });
  const { answer: _, ...rest } = refused;
  const cuts = [{ region: 'us-east-2', from: 350, to: 1_000 }];
  assert.deepEqual(rules({ ...history, sent: [...history.sent, deferred, rest], cuts }), []);
});

test('a read that is answered with less than an earlier one is not linearizable', () => {
  const stale = [read(205, 215, version(200)), read(220, 230, version(100))];
  assert.deepEqual(rules(whole({ reads: stale })), ['not_linearizable']);
});

test('a read that began before the newer one ended may still give the older version', () => {
  assert.deepEqual(rules(whole({ reads: [read(205, 215, version(200)), read(207, 230, version(100))] })), []);
});

test('a read that misses a write acknowledged before it began is not linearizable', () => {
  assert.deepEqual(rules(whole({ reads: [read(215, 225, version(100))] })), ['not_linearizable']);
  assert.deepEqual(rules(whole({ reads: [read(215, 225, undefined)] })), ['not_linearizable']);
});

test('a read of what was written only later, or never, is not linearizable', () => {
  assert.deepEqual(rules(whole({ reads: [read(150, 160, version(200))] })), ['not_linearizable']);
  assert.deepEqual(rules(whole({ reads: [read(205, 215, version(201, WEST))] })), ['not_linearizable']);
});

test('a state that goes back, a log with a hole, and a table that is not what its log ends in are found', () => {
  const [first, second] = [version(100), version(200)];
  const east = (n: number) => ({ mark: mark('east', n) });
  const backwards = withLog([logged(1, second, undefined, east(2)), logged(2, first, second, east(1))], {
    made: [made('east', 1), made('east', 2)],
    sent: [sent('east', 1, 100, { base: second }), sent('east', 2, 200)],
  });
  assert.ok(rules(backwards).includes('state_went_back'));
  const hole = whole();
  assert.deepEqual(rules({ ...hole, log: hole.log.toSpliced(1, 1) }).includes('state_went_back'), true);
  assert.ok(
    rules(whole({ table: new Map([[KEY, { version: version(999) }]]), devices: [] })).includes(
      'state_went_back',
    ),
  );
  assert.ok(rules(whole({ table: new Map(), devices: [] })).includes('state_went_back'));
});

test('a device that ends with another version, without the record, or with one too many has not converged', () => {
  const end = { version: version(200), mark: mark('east', 2) };
  assert.deepEqual(rules(whole({ devices: [device('west', { version: version(100) })] })), ['not_converged']);
  assert.deepEqual(rules(whole({ devices: [device('west', undefined)] })), ['not_converged']);
  const extra = {
    ...device('west', end),
    held: new Map([
      [KEY, end],
      ['notes/n2', end],
    ]),
  };
  assert.deepEqual(rules(whole({ devices: [extra] })), ['not_converged']);
});

test('a device that did not pull everything is not asked for everything', () => {
  assert.deepEqual(rules(whole({ devices: [{ name: 'west', pending: 0, quarantined: [] }] })), []);
});

test('a state replaced unseen and without a vote is found, by whoever did it', () => {
  const history = whole();
  const blind = sent('west', 2, 250, { base: version(100) });
  const log = [...history.log.slice(0, 2), logged(3, blind.version, version(200), { mark: mark('west', 2) })];
  const found = rules(withLog(log, { sent: [...history.sent.slice(0, 2), blind], made: [made('west', 2)] }));
  assert.deepEqual(found, ['unvoted']);
  const unsent = rules(withLog(log, { sent: history.sent.slice(0, 2), made: [made('west', 2)] }));
  assert.deepEqual(unsent, ['unvoted']);
});

test('a vote makes it right; so does a state of the same device, whose base it may lack (3.2)', () => {
  const history = whole();
  const blind = sent('west', 2, 250, { base: version(100) });
  const text = auditText(
    entry(1, CHAIN_START, blind.version, version(200), {
      outcome: 'incoming',
      lost: JSON.stringify(mark('east', 2)),
    }),
  );
  const voted = logged(3, blind.version, version(200), {
    mark: mark('west', 2),
    audit: { sequence: 1, head: sha256(text) },
    outbox: [text],
  });
  const log = [...history.log.slice(0, 2), voted];
  assert.deepEqual(
    rules(withLog(log, { sent: [...history.sent.slice(0, 2), blind], made: [made('west', 2)] })),
    [],
  );
  const own = sent('east', 3, 250);
  const same = [...history.log.slice(0, 2), logged(3, own.version, version(200), { mark: mark('east', 3) })];
  assert.deepEqual(
    rules(withLog(same, { sent: [...history.sent.slice(0, 2), own], made: [made('east', 3)] })),
    [],
  );
});

test('an earlier edit that comes after a later one of its device, or beats it in a vote, is found', () => {
  const first = version(100);
  const log = [
    logged(1, first, undefined, { mark: mark('east', 2) }),
    logged(2, version(200), first, { mark: mark('east', 1) }),
  ];
  const swapped = [sent('east', 2, 100), sent('east', 1, 200, { base: first })];
  assert.deepEqual(rules(withLog(log, { sent: swapped, made: [made('east', 1), made('east', 2)] })), [
    'own_edit_beaten',
  ]);

  const history = whole();
  const text = auditText(entry(1, CHAIN_START, version(150), version(200)));
  const trail = { audit: { sequence: 1, head: sha256(text) }, outbox: [text], mark: mark('east', 2) };
  const decided = history.log.slice(0, 2).concat(logged(3, version(200), version(200), trail));
  assert.deepEqual(rules({ ...history, log: decided }), ['own_edit_beaten']);
});

test('an edit that lost to the very state it was based on is found', () => {
  const history = whole();
  const { incoming, ...rest } = entry(1, CHAIN_START, version(150, WEST), version(200));
  const text = auditText({ ...rest, incoming: { ...incoming, base: version(200) } });
  const trail = { audit: { sequence: 1, head: sha256(text) }, outbox: [text], mark: mark('east', 2) };
  const decided = history.log.slice(0, 2).concat(logged(3, version(200), version(200), trail));
  assert.deepEqual(rules({ ...history, log: decided }), ['base_won']);
});

test('an audit trail with an entry changed, left out, forked, or cut short is broken', () => {
  const history = whole();
  const [stored, lost] = [version(200), version(150, WEST)];
  const one = auditText(entry(1, CHAIN_START, lost, stored));
  const at = (audit: LoggedState['audit'], ...outbox: string[]) => ({
    ...history,
    log: history.log.slice(0, 2).concat(logged(3, stored, stored, { mark: mark('east', 2), audit, outbox })),
  });
  assert.deepEqual(rules(at({ sequence: 1, head: sha256(one) }, one)), []);
  const changed = one.replace('"at":300', '"at":301');
  assert.ok(rules(at({ sequence: 1, head: sha256(one) }, changed)).includes('chain_broken'));
  const third = auditText(entry(3, sha256('never written'), lost, stored));
  assert.ok(rules(at({ sequence: 3, head: sha256(third) }, one, third)).includes('chain_broken'));
  const fork = auditText(entry(1, CHAIN_START, lost, stored, { at: 999 }));
  assert.ok(rules(at({ sequence: 1, head: sha256(one) }, one, fork)).includes('chain_broken'));
  const cut = at({ sequence: 1, head: sha256(one) }, one);
  const back = { ...cut, log: cut.log.concat(logged(4, stored, stored, { mark: mark('east', 2) })) };
  assert.ok(rules(back).includes('chain_broken'));
});

test('an answer that says applied or duplicate of what the table never saw is false', () => {
  const history = whole();
  const claimed = sent('east', 9, 400);
  assert.deepEqual(rules({ ...history, sent: [...history.sent, claimed] }), ['false_verdict']);
  const again = sent('east', 9, 400, { answer: { at: 410, verdict: 'duplicate', version: version(200) } });
  assert.deepEqual(rules({ ...history, sent: [...history.sent, again] }), ['false_verdict']);
});

test('copies are counted a distinct operation; those refused unread are none', () => {
  const history = whole();
  const { answer: _, ...unanswered } = sent('east', 1, 101, { version: version(100) });
  const { copiesPerOperation } = checkHistory(
    { ...history, sent: [...history.sent, unanswered, { ...unanswered, refused: true }] },
    sha256,
  ).counts;
  assert.equal(copiesPerOperation, 4 / 3);
});
