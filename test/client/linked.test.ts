// The set that keeps its order, against JavaScript's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Linked, LinkedSet } from '../../client/linked.ts';

interface Item extends Linked<Item> {
  readonly id: number;
}

const itemOf = (id: number): Item => ({ id, owner: undefined, older: undefined, newer: undefined });

test('behaves as a Set does, whatever is added and deleted in whatever order', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ id: fc.nat({ max: 9 }), add: fc.boolean() })), (steps) => {
      const items = Array.from({ length: 10 }, (_, id) => itemOf(id));
      const linked = new LinkedSet<Item>();
      const plain = new Set<Item>();
      for (const { id, add } of steps) {
        const item = items[id] as Item;
        if (!add) assert.equal(linked.delete(item), plain.delete(item));
        else if (!plain.has(item)) {
          linked.add(item);
          plain.add(item);
        }
        assert.deepEqual(
          [...linked].map((it) => it.id),
          [...plain].map((it) => it.id),
        );
        assert.equal(linked.size, plain.size);
        assert.equal(linked.nth(3), [...plain][2]);
        assert.equal(linked.has(item), plain.has(item));
      }
    }),
  );
});

test('an item that has left holds on to nothing', () => {
  const linked = new LinkedSet<Item>();
  const [one, two, three] = [itemOf(1), itemOf(2), itemOf(3)];
  for (const item of [one, two, three]) linked.add(item);
  linked.delete(two);
  assert.deepEqual(two, itemOf(2));
});

test('an item is in one set at a time', () => {
  const item = itemOf(1);
  new LinkedSet<Item>().add(item);
  assert.throws(() => new LinkedSet<Item>().add(item), /one set at a time/);
  assert.equal(new LinkedSet<Item>().delete(item), false);
});
