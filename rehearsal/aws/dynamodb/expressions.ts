// Parsed expressions, remembered. dynalite parses every expression of every request from scratch, which is more than
// half of all the work a write takes here; a function sends the same few texts all day, with other values. What a text
// parses to depends on its values' types, not on the values, so it is kept with places in their stead.
import { createRequire } from 'node:module';

type AttributeValue = Readonly<Record<string, unknown>>;

interface Context {
  readonly attrNames?: Readonly<Record<string, string>> | undefined;
  readonly attrVals?: Readonly<Record<string, AttributeValue>> | undefined;
  /** What no expression of the request has used so far; the parser takes out what it uses. */
  readonly unusedAttrNames: Record<string, true>;
  readonly unusedAttrVals: Record<string, true>;
  readonly isKeyCondition?: boolean;
}

export interface ExpressionParser {
  /** Gives an object, or in words what is wrong; throws when the text is no expression. */
  parse(text: string, options: { readonly context: Context }): unknown;
}

interface Kept {
  readonly template: unknown;
  readonly names: readonly string[];
  readonly values: readonly string[];
}

/** In the place of a value of the request. */
class Place {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** More than all functions together use; a text with a session's name in it is another one for every session. */
const KEPT_MAX = 2_000;
/** What these parse to, or whether they do, depends on the values themselves. */
const VALUE_DEPENDENT = /between|attribute_type/i;

/** The same parser, from memory where it can be. */
export function remembering(parse: ExpressionParser['parse']): ExpressionParser['parse'] {
  const kept = new Map<string, Kept>();
  return (text, options) => {
    if (VALUE_DEPENDENT.test(text)) return parse(text, options);
    const {
      attrNames = {},
      attrVals = {},
      unusedAttrNames,
      unusedAttrVals,
      isKeyCondition,
    } = options.context;
    const types = Object.keys(attrVals).map((name) => `${name} ${Object.keys(attrVals[name] ?? {}).join()}`);
    const key = [text, JSON.stringify(attrNames), types.join(), String(isKeyCondition)].join('\n');
    const known = kept.get(key);
    if (known !== undefined) {
      for (const name of known.names) delete unusedAttrNames[name];
      for (const name of known.values) delete unusedAttrVals[name];
      return copy(known.template, (value) => (value instanceof Place ? attrVals[value.name] : undefined));
    }
    // Asked with nothing used yet, it takes out all that this text uses.
    const names = allOf(attrNames);
    const values = allOf(attrVals);
    const parsed = parse(text, {
      context: { ...options.context, unusedAttrNames: names, unusedAttrVals: values },
    });
    const used = {
      names: Object.keys(attrNames).filter((name) => !(name in names)),
      values: Object.keys(attrVals).filter((name) => !(name in values)),
    };
    for (const name of used.names) delete unusedAttrNames[name];
    for (const name of used.values) delete unusedAttrVals[name];
    // A refusal names values.
    if (typeof parsed !== 'object' || parsed === null) return parsed;
    const places = new Map<unknown, Place>(
      Object.entries(attrVals).map(([name, value]) => [value, new Place(name)]),
    );
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value as string);
    kept.set(key, { template: copy(parsed, (value) => places.get(value)), ...used });
    return parsed;
  };
}

function allOf(record: Readonly<Record<string, unknown>>): Record<string, true> {
  return Object.fromEntries(Object.keys(record).map((name) => [name, true]));
}

/** Deep, with what `instead` gives in the place of what it is asked about. */
function copy(value: unknown, instead: (value: unknown) => unknown): unknown {
  const other = instead(value);
  if (other !== undefined) return other;
  if (Array.isArray(value)) return value.map((each) => copy(each, instead));
  if (typeof value !== 'object' || value === null) return value;
  const made = Object.create(Object.getPrototypeOf(value)) as Record<string, unknown>;
  for (const [name, each] of Object.entries(value)) made[name] = copy(each, instead);
  return made;
}

const require = createRequire(import.meta.url);

/** Makes dynalite's parsers remember, for the whole process. */
export function rememberExpressions(): void {
  for (const name of ['conditionParser', 'updateParser', 'projectionParser']) {
    const parser: ExpressionParser = require(`dynalite/db/${name}`);
    parser.parse = remembering(parser.parse);
  }
}
