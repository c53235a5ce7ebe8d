// A short run of the simulation and of three planted bugs; the whole of both has commands of its own.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { holds, type Item, updated } from './expressions.ts';
import { play } from './history.ts';
import { check, mutated } from './mutation.ts';
import { PLANTS } from './plants/all.ts';
import { catchPlant } from './plants/catch.ts';
import { PlayerThread } from './pool.ts';
import { PROFILES } from './profiles.ts';

suite('the simulation', () => {
  let thread: PlayerThread;
  before(() => {
    thread = new PlayerThread();
  });
  after(() => thread.end());

  test('keeps every invariant through 80 histories of all kinds', async () => {
    const { played, broken, conflicts, crashes } = await thread.play({
      from: 0,
      count: 80,
      profile: undefined,
    });
    assert.equal(broken, undefined);
    assert.equal(played, 80);
    assert.ok(conflicts > 0 && crashes > 0, 'expected histories in which something happens');
  });

  test('plays the same history from the same seed, step by step', async () => {
    // Histories start from the event loop (scheduler.ts).
    await turn();
    const [first, second] = await Promise.all([traceOf(7), traceOf(7)]);
    assert.deepEqual(first, second);
    assert.notDeepEqual(first, await traceOf(8));
  });
});

function traceOf(seed: number): Promise<readonly string[]> {
  const lines: string[] = [];
  return new Promise((resolve) => {
    setImmediate(() => {
      play(seed, PROFILES.mixed, (line) => lines.push(line()));
      resolve(lines);
    });
  });
}

suite('planted bugs', () => {
  const rules = ['3.1 version = :base', '5.1 never known from a verdict only', 'acknowledged before durable'];
  for (const rule of rules)
    test(`${rule}: caught within 40 histories, none of which the shipped code breaks`, async () => {
      const plant = PLANTS.find((each) => each.rule === rule);
      assert.ok(plant);
      const { invariant, what } = await catchPlant(plant, 40);
      assert.notEqual(invariant, undefined, what);
      assert.notEqual(invariant, 'it runs at all', what);
    });

  test('every one still fits the source it is planted in', () => {
    for (const { mutations } of PLANTS) check(mutations);
  });

  test('one whose text is gone, or there twice, fails instead of passing for caught', () => {
    const mutation = { file: 'x.ts', find: 'a && b', replace: 'a' };
    assert.throws(() => mutated('return b;', mutation), /expected once, found 0 times/);
    assert.throws(() => mutated('a && b || a && b', mutation), /expected once, found 2 times/);
    assert.equal(mutated('return a && b;', mutation), 'return a;');
  });
});

suite("DynamoDB's expressions", () => {
  const names = { '#v': 'version', '#w': 'w#1', '#s': 's', '#o': 'outbox' };
  const values = { ':a': { S: 'a' }, ':two': { N: '2' }, ':ten': { N: '10' } };
  const bindings = { ExpressionAttributeNames: names, ExpressionAttributeValues: values };
  const item: Item = { version: { S: 'a' }, 'w#1': { M: { s: { N: '9' } } } };

  test('are judged by type, numbers as numbers', () => {
    assert.ok(holds('#v = :a AND #w.#s < :ten', item, bindings));
    assert.ok(!holds('#w.#s < :two', item, bindings));
    assert.ok(!holds('#v < :ten', item, bindings));
    assert.ok(!holds('#v = :a', undefined, bindings));
  });

  test('bind AND before OR, and parentheses before both', () => {
    assert.ok(holds('attribute_exists(#v) OR #v = :a AND attribute_not_exists(#v)', item, bindings));
    assert.ok(!holds('(attribute_exists(#v) OR #v = :a) AND attribute_not_exists(#v)', item, bindings));
  });

  test('change a copy, and leave what they do not name', () => {
    const after = updated('SET #o = :a REMOVE #v', { pk: { S: 'k' } }, item, bindings);
    assert.deepEqual(after, { pk: { S: 'k' }, 'w#1': item['w#1'], outbox: { S: 'a' } });
    assert.deepEqual(item['version'], { S: 'a' });
  });

  test('of a form that is not known are refused', () => {
    assert.throws(() => holds('contains(#v, :a)', item, bindings), /does not know this form/);
    assert.throws(() => updated('ADD #v :a', {}, item, bindings), /does not know this form/);
  });
});
