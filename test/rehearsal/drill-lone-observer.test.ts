// What the drill of a lone observer says of what it saw, on planted looks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Look, Seen } from '../../rehearsal/drills/failover/seen.ts';
import { observersLine, onlyPagingLines, stayedInDnsLine } from '../../rehearsal/drills/failover/verdicts.ts';
import { LONE_OBSERVER } from '../../rehearsal/drills/scenarios/lone-observer.ts';
import { stageConfig } from '../../rehearsal/supervisor/stage.ts';
import { change, look, passed, seen, verdictsOf } from './planted-seen.ts';

const reported = (voting: readonly string[], abstaining: readonly string[] = []) => ({
  reported: { voting, abstaining },
});

test('exactly the expected observers may vote or abstain while the fault lasts, and reports have to be read', () => {
  const looks = (...all: readonly Partial<Look>[]) =>
    seen({ looks: all.map((over, n) => look(10_000 * (n + 1), over)) });
  const voted = (of: Seen, expected: readonly string[]) => passed(observersLine(of, 'voting', expected));
  assert.ok(voted(looks(reported([]), reported(['west']), reported([])), ['west']));
  assert.ok(!voted(looks(reported([])), ['west']), 'it did not vote');
  assert.ok(!voted(looks(reported(['third'])), ['west']), 'another did');
  assert.ok(!voted(looks(reported(['west']), reported(['third'])), ['west']), 'another did, too');
  assert.ok(voted(looks(reported([])), []));
  assert.ok(!voted(looks(reported(['west'])), []));
  assert.ok(!voted(looks({}), []), 'nobody could read a report');
  const before = seen({ looks: [look(-1, reported(['west'])), look(1, reported([]))] });
  assert.ok(voted(before, []), 'from the fault on');
  const abstains = looks(reported([], ['third']));
  assert.ok(passed(observersLine(abstains, 'abstaining', ['third'])));
  assert.ok(!passed(observersLine(abstains, 'abstaining', [])));
  assert.equal(observersLine(abstains, 'abstaining', []).text, 'third, expected none');
});

test('one region may page, or must, and stops in time; another must not', () => {
  const paged = (...all: readonly (readonly string[])[]) =>
    seen({ looks: all.map((paging, n) => look(20_000 * (n + 1), { paging })) });
  const may = (of: Seen) => verdictsOf(onlyPagingLines(of, 'third'));
  assert.deepEqual(may(paged([], [])), [true]);
  assert.deepEqual(may(paged([], ['third'])), [true]);
  assert.deepEqual(may(paged(['west'])), [false]);
  assert.deepEqual(may(seen()), [false]);
  const must = (of: Seen) => verdictsOf(onlyPagingLines(of, 'third', { clearedWithinMs: 30_000 }));
  assert.deepEqual(must(paged([], ['third'], ['third'], [])), [true, true, true]);
  assert.deepEqual(must(paged([], [], [], [])), [true, false, true]);
  assert.deepEqual(must(paged(['third'], ['third'], ['third'], ['third'])), [true, true, false]);
  assert.deepEqual(must(paged(['third', 'east'], [], [], [])), [false, true, true]);
});

test('DNS that ever led elsewhere from the fault on is found; without a look nothing is known', () => {
  assert.ok(passed(stayedInDnsLine(seen({ looks: [look(-1, { leadsTo: 'west' }), look(1)] }))));
  assert.ok(!passed(stayedInDnsLine(seen({ looks: [look(1), look(2, { leadsTo: 'west' })] }))));
  assert.ok(!passed(stayedInDnsLine(seen())));
});

test('a lone observer keeps its targets when nobody moves, and misses them on a move, or when others vote or page', () => {
  const [oneWay, abstains, cutOff] = LONE_OBSERVER.variants;
  const verdicts = (variant: typeof oneWay, looks: readonly Partial<Look>[], over: Partial<Seen> = {}) =>
    verdictsOf(
      variant?.follow?.(
        seen({ looks: looks.map((it, n) => look(20_000 * (n + 1), it)), ...over }),
        stageConfig('dev'),
      ) ?? [],
    );
  const isKept = (all: readonly boolean[]) => all.length > 0 && !all.includes(false);
  const alone = [reported(['west']), reported(['west']), {}, reported([])];
  assert.ok(isKept(verdicts(oneWay, alone)));
  assert.ok(!isKept(verdicts(oneWay, alone, { changes: [change(45_000)] })));
  assert.ok(!isKept(verdicts(oneWay, [reported(['west', 'third']), {}])));
  assert.ok(!isKept(verdicts(oneWay, [{ ...reported(['west']), leadsTo: 'west' }])));
  assert.ok(!isKept(verdicts(oneWay, [{ ...reported(['west']), active: 'west' }])));
  const page = { paging: ['third'] };
  const silent = [
    { ...reported([], ['third']), ...page },
    reported([], ['third']),
    reported([]),
    reported([]),
  ];
  assert.ok(isKept(verdicts(abstains, silent)));
  assert.ok(!isKept(verdicts(abstains, [{ ...reported([]), ...page }, {}, {}, {}])), 'it did not abstain');
  assert.ok(!isKept(verdicts(abstains, [reported([], ['third']), {}, {}, {}])), 'it did not page');
  const gone = [{ ...reported([]), ...page }, reported([]), reported([]), reported([])];
  assert.ok(isKept(verdicts(cutOff, gone)));
  assert.ok(!isKept(verdicts(cutOff, [{ ...reported(['third']), ...page }, {}, {}, {}])), 'it voted');
});
