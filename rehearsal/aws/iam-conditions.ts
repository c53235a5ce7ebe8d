// The `Condition` of a policy statement. What is not understood here is said to be so, never guessed.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html

/** What is known of a request, by condition key. Keys are compared without regard to case. */
export type Context = Readonly<Record<string, string | readonly string[]>>;

export type Verdict =
  | { readonly kind: 'met' }
  | { readonly kind: 'unmet' }
  | { readonly kind: 'not-understood'; readonly what: string };

/** Keys whose absence from a request means what it says; any other key is not understood. */
const KEYS =
  /^(s3:(delimiter|max-keys|prefix|tlsversion)|aws:(sourceaccount|sourcearn|principalarn|principalaccount|requestedregion|securetransport)|dynamodb:leadingkeys|kms:(viaservice|calleraccount|grantisforawsresource|encryptioncontext:.+))$/;

type Compare = (pattern: string, value: string) => boolean;

const COMPARISONS: Readonly<Record<string, Compare>> = {
  StringEquals: (pattern, value) => pattern === value,
  StringEqualsIgnoreCase: (pattern, value) => pattern.toLowerCase() === value.toLowerCase(),
  StringLike: (pattern, value) => wildcard(pattern).test(value),
  ArnEquals: arnLike,
  ArnLike: arnLike,
  NumericEquals: (pattern, value) => Number(value) === Number(pattern),
  NumericLessThan: (pattern, value) => Number(value) < Number(pattern),
  NumericLessThanEquals: (pattern, value) => Number(value) <= Number(pattern),
  NumericGreaterThan: (pattern, value) => Number(value) > Number(pattern),
  NumericGreaterThanEquals: (pattern, value) => Number(value) >= Number(pattern),
  Bool: (pattern, value) => pattern.toLowerCase() === value.toLowerCase(),
};
const NEGATIONS: Readonly<Record<string, string>> = {
  StringNotEquals: 'StringEquals',
  StringNotEqualsIgnoreCase: 'StringEqualsIgnoreCase',
  StringNotLike: 'StringLike',
  NumericNotEquals: 'NumericEquals',
  ArnNotEquals: 'ArnEquals',
  ArnNotLike: 'ArnLike',
};

const patterns = new Map<string, RegExp>();

/** `*` stands for any characters, `?` for one. */
export function wildcard(pattern: string, flags: '' | 'i' = ''): RegExp {
  const name = `${flags}:${pattern}`;
  const known = patterns.get(name);
  if (known) return known;
  const source = pattern.replaceAll(/[.+^${}()|[\]\\*?]/g, (char) =>
    char === '*' ? '.*' : char === '?' ? '.' : `\\${char}`,
  );
  const made = new RegExp(`^${source}$`, `s${flags}`);
  patterns.set(name, made);
  return made;
}

/** Part by part, so that a wildcard does not reach over a colon, save in the last part. */
function arnLike(pattern: string, value: string): boolean {
  const parts = (arn: string) => {
    const split = arn.split(':');
    return [...split.slice(0, 5), split.slice(5).join(':')];
  };
  const values = parts(value);
  return parts(pattern).every((part, at) => wildcard(part).test(values[at] ?? ''));
}

/** All of a statement's conditions together. */
export function judgeConditions(conditions: unknown, context: Context): Verdict {
  if (conditions === undefined) return { kind: 'met' };
  if (!isRecord(conditions)) return notUnderstood('Condition is no object');
  const facts = new Map(
    Object.entries(context).map(([key, value]) => [key.toLowerCase(), asList(value).map(String)]),
  );
  const verdicts = Object.entries(conditions).flatMap(([operator, keys]) =>
    isRecord(keys)
      ? Object.entries(keys).map(([key, value]) => judge(operator, key, asList(value).map(String), facts))
      : [notUnderstood(`${operator} is no object`)],
  );
  return (
    verdicts.find(({ kind }) => kind === 'unmet') ??
    verdicts.find(({ kind }) => kind === 'not-understood') ?? { kind: 'met' }
  );
}

function judge(
  operator: string,
  key: string,
  expected: readonly string[],
  facts: ReadonlyMap<string, readonly string[]>,
): Verdict {
  const { set, name, ifExists } = readOperator(operator);
  const positive = NEGATIONS[name] ?? name;
  const compare = COMPARISONS[positive];
  if (!KEYS.test(key.toLowerCase())) return notUnderstood(`condition key ${key}`);
  if (expected.some((value) => value.includes('${')))
    return notUnderstood(`policy variable in ${expected.join()}`);
  const actual = facts.get(key.toLowerCase());
  if (name === 'Null')
    return expected.includes('true') === (actual === undefined) ? { kind: 'met' } : { kind: 'unmet' };
  if (!compare) return notUnderstood(`condition operator ${operator}`);
  const negated = positive !== name;
  if (actual === undefined)
    return ifExists || negated || set === 'ForAllValues' ? { kind: 'met' } : { kind: 'unmet' };
  const holds = (value: string) => expected.some((pattern) => compare(pattern, value)) !== negated;
  const all = set === 'ForAllValues' || (set === undefined && negated);
  return (all ? actual.every(holds) : actual.some(holds)) ? { kind: 'met' } : { kind: 'unmet' };
}

function readOperator(operator: string) {
  const [, set, name = '', ifExists] =
    /^(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?$/.exec(operator) ?? [];
  return { set, name, ifExists: ifExists !== undefined };
}

function notUnderstood(what: string): Verdict {
  return { kind: 'not-understood', what };
}

export function asList<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
