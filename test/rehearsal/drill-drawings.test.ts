// What is drawn of a drill can be read: no text leaves its drawing, and none covers another.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { reportOf } from '../../rehearsal/drills/report.ts';
import {
  frameOf,
  markers,
  placeMarks,
  tickMs,
  timeAxis,
  WIDTH,
  widthOf,
} from '../../rehearsal/drills/svg.ts';
import { plantedDrill } from './planted-drill.ts';

interface Box {
  readonly text: string;
  readonly left: number;
  readonly right: number;
  readonly y: number;
}

/** Of all texts of an SVG that have an `x`. */
function boxesIn(svg: string): readonly Box[] {
  return [...svg.matchAll(/<text ([^>]*)>([^<]*)<\/text>/g)].map(([, attributes = '', text = '']) => {
    const of = (name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1];
    const x = Number(of('x'));
    const width = widthOf(text);
    const share = { start: 0, middle: 0.5, end: 1 }[of('text-anchor') ?? 'start'] ?? Number.NaN;
    return { text, left: x - share * width, right: x + (1 - share) * width, y: Number(of('y')) };
  });
}

function assertReadable(svg: string): void {
  const boxes = boxesIn(svg);
  assert.ok(boxes.length > 0);
  for (const { text, left, right } of boxes)
    assert.ok(left >= -1 && right <= WIDTH + 1, `"${text}" from ${left} to ${right}`);
  for (const [n, a] of boxes.entries())
    for (const b of boxes.slice(n + 1))
      assert.ok(
        Math.abs(a.y - b.y) >= 12 || a.right <= b.left + 1 || b.right <= a.left + 1,
        `"${a.text}" and "${b.text}" at ${a.y}, ${b.y}`,
      );
}

test('a report of a crowded drill can be read: axes, units, marks', () => {
  for (const seconds of [330, 60, 900]) {
    const html = reportOf([plantedDrill(seconds)]);
    const drawings = html.match(/<svg.*?<\/svg>/gs) ?? [];
    assert.equal(drawings.length, 2);
    for (const drawing of drawings) assertReadable(drawing);
    assert.doesNotMatch(html, /NaN|undefined|Infinity/);
  }
});

test('however many marks there are and wherever, all are drawn, none outside and none over another', () => {
  const mark = fc.record({
    at: fc.integer({ min: 0, max: 300_000 }),
    text: fc
      .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 })
      .map((it) => it.replace(/\W/g, 'x')),
    style: fc.constantFrom('fault', 'good', 'plain'),
  });
  fc.assert(
    fc.property(fc.array(mark, { maxLength: 30 }), (marks) => {
      const frame = frameOf(0, 300_000, 230, marks);
      const placed = placeMarks(marks, frame.x);
      assert.equal(placed.length, marks.length);
      if (marks.length > 0) assertReadable(markers(frame));
      assert.ok(frame.y(1) > 12 + Math.max(0, ...placed.map(({ level }) => level)) * 13, 'below all texts');
      assert.ok(Math.abs(frame.y(0) - frame.y(1) - (230 - 24 - 34)) < 0.01, 'the plot is as high as ever');
    }),
  );
});

test('two marks apart share a level; close ones do not', () => {
  const x = (at: number) => at;
  const levels = (...ats: readonly number[]) =>
    placeMarks(
      ats.map((at) => ({ at, text: 'revived', style: 'plain' as const })),
      x,
    ).map(({ level, anchor }) => [level, anchor]);
  assert.deepEqual(levels(200, 400), [
    [0, 'start'],
    [0, 'start'],
  ]);
  assert.deepEqual(levels(200, 220), [
    [0, 'start'],
    [1, 'start'],
  ]);
  assert.deepEqual(levels(930), [[0, 'end']], 'at the right edge it stands before its line');
  assert.deepEqual(levels(50), [[1, 'start']], 'the unit stands there');
});

test('a time axis has numbers enough, and never so many that they touch', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 800, max: 7_200_000 }),
      fc.integer({ min: 0, max: 100 }),
      (spanMs, percent) => {
        const zero = Math.round((spanMs * percent) / 100);
        const axis = timeAxis(frameOf(0, spanMs, 230), zero, spanMs < 10_000 ? 'ms' : 's');
        const count = boxesIn(axis).length;
        assert.ok(count >= 4 && count <= 16, `${count} for ${spanMs} ms, ${tickMs(spanMs)} ms apart`);
        assertReadable(axis);
      },
    ),
  );
});
