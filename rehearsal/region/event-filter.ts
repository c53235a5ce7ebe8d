// Event patterns, as `FilterCriteria` of an event source mapping uses them: which records a function is invoked for.
// Patterns speak of leaves: an attribute that is a map or a list is no leaf, so `exists` does not see it.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
import { isFields } from '../assembly/intrinsics.ts';

export type EventFilter = (event: unknown) => boolean;
type Leaf = string | number | boolean | null;
type Alternative = (leaves: readonly Leaf[]) => boolean;

const OPERATORS: Readonly<Record<string, (argument: unknown) => Alternative | undefined>> = {
  exists: (wanted) => (typeof wanted === 'boolean' ? (leaves) => leaves.length > 0 === wanted : undefined),
  prefix: (start) =>
    typeof start === 'string'
      ? (leaves) => leaves.some((leaf) => typeof leaf === 'string' && leaf.startsWith(start))
      : undefined,
  suffix: (end) =>
    typeof end === 'string'
      ? (leaves) => leaves.some((leaf) => typeof leaf === 'string' && leaf.endsWith(end))
      : undefined,
  'anything-but': (refused) => {
    const list: readonly unknown[] = Array.isArray(refused) ? refused : [refused];
    return list.every(isLeaf) ? (leaves) => leaves.some((leaf) => !list.includes(leaf)) : undefined;
  },
};

/**
 * Reads one pattern, a JSON text.
 * @throws RangeError it is none, or uses an operator that the rehearsal does not know; says which and where
 */
export function parsePattern(text: string): EventFilter {
  let pattern: unknown;
  try {
    pattern = JSON.parse(text);
  } catch (cause) {
    throw new RangeError(`expected a pattern as JSON, got ${text} (${cause})`);
  }
  return fieldsFilter(pattern, 'pattern');
}

function fieldsFilter(pattern: unknown, path: string): EventFilter {
  if (!isFields(pattern))
    throw new RangeError(`${path}: expected an object or a list of values, got ${JSON.stringify(pattern)}`);
  const filters = Object.entries(pattern).map(([name, inside]) =>
    name === '$or' ? anyOf(inside, `${path}.$or`) : fieldFilter(name, inside, `${path}.${name}`),
  );
  return (event) => filters.every((filter) => filter(event));
}

function anyOf(list: unknown, path: string): EventFilter {
  if (!Array.isArray(list)) throw new RangeError(`${path}: expected a list, got ${JSON.stringify(list)}`);
  const filters = list.map((pattern, at) => fieldsFilter(pattern, `${path}[${at}]`));
  return (event) => filters.some((filter) => filter(event));
}

function fieldFilter(name: string, inside: unknown, path: string): EventFilter {
  if (Array.isArray(inside)) {
    const alternatives = inside.map((one, at) => alternativeOf(one, `${path}[${at}]`));
    return (event) => {
      const leaves = leavesOf(isFields(event) ? event[name] : undefined);
      return alternatives.some((holds) => holds(leaves));
    };
  }
  const within = fieldsFilter(inside, path);
  return (event) => {
    const value = isFields(event) ? event[name] : undefined;
    // Of a list, one element has to fit as a whole.
    return Array.isArray(value) && value.length > 0 ? value.some(within) : within(value);
  };
}

function alternativeOf(one: unknown, path: string): Alternative {
  if (isLeaf(one)) return (leaves) => leaves.includes(one);
  const [[operator, argument] = ['', undefined], ...more] = isFields(one) ? Object.entries(one) : [];
  const alternative = more.length === 0 ? OPERATORS[operator]?.(argument) : undefined;
  if (alternative) return alternative;
  throw new RangeError(
    `${path}: the rehearsal knows values, ${Object.keys(OPERATORS).join(', ')} and $or, got ${JSON.stringify(one)}`,
  );
}

function leavesOf(value: unknown): readonly Leaf[] {
  return (Array.isArray(value) ? value : [value]).filter(isLeaf);
}

function isLeaf(value: unknown): value is Leaf {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
