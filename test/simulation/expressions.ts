// DynamoDB's expressions, as far as the functions use them: what the shipped code sends is read and judged here word
// by word, so that a condition left out of it is left out of the simulation too. A form that is not known throws.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
import type { AttributeValue } from '@aws-sdk/client-dynamodb';

export type Item = Readonly<Record<string, AttributeValue>>;

export interface Bindings {
  readonly ExpressionAttributeNames?: Readonly<Record<string, string>> | undefined;
  readonly ExpressionAttributeValues?: Readonly<Record<string, AttributeValue>> | undefined;
}

type Judge = (item: Item | undefined, bindings: Bindings) => boolean;
type Evaluate = (item: Item | undefined, bindings: Bindings) => AttributeValue | undefined;
type Change = (draft: Record<string, AttributeValue>, before: Item | undefined, bindings: Bindings) => void;

const conditions = new Map<string, Judge>();
const updates = new Map<string, Change>();

/** Whether a condition, filter or key condition holds on an item; undefined is an item that is not there. */
export function holds(expression: string | undefined, item: Item | undefined, bindings: Bindings): boolean {
  if (expression === undefined) return true;
  let judge = conditions.get(expression);
  if (judge === undefined) {
    judge = new Parser(expression).condition();
    conditions.set(expression, judge);
  }
  return judge(item, bindings);
}

/** The item after an update expression; the one before is left as it is. */
export function updated(expression: string, key: Item, before: Item | undefined, bindings: Bindings): Item {
  let change = updates.get(expression);
  if (change === undefined) {
    change = new Parser(expression).update();
    updates.set(expression, change);
  }
  const draft = { ...key, ...before };
  change(draft, before, bindings);
  return draft;
}

const TOKEN = /\s*(<>|<=|>=|[=<>(),.+-]|[#:]?[A-Za-z_][A-Za-z0-9_]*)/y;

class Parser {
  readonly #text: string;
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    const tokens: string[] = [];
    TOKEN.lastIndex = 0;
    for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text))
      tokens.push(match[1] as string);
    if (tokens.join('').length !== text.replaceAll(/\s/g, '').length) throw this.#unknown();
    this.#tokens = tokens;
  }

  condition(): Judge {
    const judge = this.#or();
    if (this.#at < this.#tokens.length) throw this.#unknown();
    return judge;
  }

  update(): Change {
    const changes: Change[] = [];
    while (this.#at < this.#tokens.length) {
      const clause = this.#next();
      do {
        if (clause === 'SET') changes.push(this.#assignment());
        else if (clause === 'REMOVE') changes.push(this.#removal());
        else throw this.#unknown();
      } while (this.#take(','));
    }
    return (draft, before, bindings) => {
      for (const change of changes) change(draft, before, bindings);
    };
  }

  #or(): Judge {
    let left = this.#and();
    while (this.#take('OR')) {
      const [a, b] = [left, this.#and()];
      left = (item, bindings) => a(item, bindings) || b(item, bindings);
    }
    return left;
  }

  #and(): Judge {
    let left = this.#term();
    while (this.#take('AND')) {
      const [a, b] = [left, this.#term()];
      left = (item, bindings) => a(item, bindings) && b(item, bindings);
    }
    return left;
  }

  #term(): Judge {
    if (this.#take('NOT')) {
      const negated = this.#term();
      return (item, bindings) => !negated(item, bindings);
    }
    if (this.#take('(')) {
      const inner = this.#or();
      this.#expect(')');
      return inner;
    }
    if (this.#take('attribute_not_exists')) return not(this.#existence());
    if (this.#take('attribute_exists')) return this.#existence();
    if (this.#take('begins_with')) return this.#beginning();
    return this.#comparison();
  }

  #existence(): Judge {
    this.#expect('(');
    const path = this.#operand();
    this.#expect(')');
    return (item, bindings) => path(item, bindings) !== undefined;
  }

  #beginning(): Judge {
    this.#expect('(');
    const path = this.#operand();
    this.#expect(',');
    const prefix = this.#operand();
    this.#expect(')');
    return (item, bindings) =>
      path(item, bindings)?.S?.startsWith(prefix(item, bindings)?.S ?? '\uffff') === true;
  }

  #comparison(): Judge {
    const left = this.#operand();
    const operator = this.#next();
    const right = this.#operand();
    const verdict = COMPARISONS[operator];
    if (verdict === undefined) throw this.#unknown();
    return (item, bindings) => {
      const a = left(item, bindings);
      const b = right(item, bindings);
      if (a === undefined || b === undefined) return false;
      return verdict(compare(a, b));
    };
  }

  #operand(): Evaluate {
    if (this.#take('size')) {
      this.#expect('(');
      const inner = this.#operand();
      this.#expect(')');
      return (item, bindings) => sizeOf(inner(item, bindings));
    }
    const token = this.#next();
    if (token.startsWith(':')) return (_item, bindings) => bound(token, bindings);
    const steps = [token];
    while (this.#take('.')) steps.push(this.#next());
    if (steps.length === 1)
      return token.startsWith('#')
        ? (item, { ExpressionAttributeNames: names }) => item?.[names?.[token] as string]
        : (item) => item?.[token];
    return (item, bindings) => {
      let value: AttributeValue | undefined = item && { M: { ...item } };
      for (const step of steps) value = value?.M?.[named(step, bindings)];
      return value;
    };
  }

  #assignment(): Change {
    const name = this.#next();
    this.#expect('=');
    const value = this.#operand();
    return (draft, before, bindings) => {
      const assigned = value(before, bindings);
      if (assigned === undefined) throw new Error(`${this.#text}: nothing to assign to ${name}`);
      draft[named(name, bindings)] = assigned;
    };
  }

  #removal(): Change {
    const name = this.#next();
    return (draft, _before, bindings) => {
      delete draft[named(name, bindings)];
    };
  }

  #next(): string {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw this.#unknown();
    this.#at += 1;
    return token;
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw this.#unknown();
  }

  #unknown(): Error {
    return new Error(`the simulation does not know this form of expression: ${this.#text}`);
  }
}

const COMPARISONS: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

function not(judge: Judge): Judge {
  return (item, bindings) => !judge(item, bindings);
}

/** NaN, which no comparison takes, for values of different types. */
function compare(a: AttributeValue, b: AttributeValue): number {
  if (a.S !== undefined && b.S !== undefined) return a.S < b.S ? -1 : a.S > b.S ? 1 : 0;
  if (a.N !== undefined && b.N !== undefined) return Number(a.N) - Number(b.N);
  if (a.BOOL !== undefined && b.BOOL !== undefined) return Number(a.BOOL) - Number(b.BOOL);
  return Number.NaN;
}

function sizeOf(value: AttributeValue | undefined): AttributeValue | undefined {
  if (value === undefined) return undefined;
  const size = value.L?.length ?? (value.S === undefined ? undefined : Buffer.byteLength(value.S));
  if (size === undefined) throw new Error('the simulation knows the size of lists and strings only');
  return { N: String(size) };
}

function named(step: string, { ExpressionAttributeNames: names }: Bindings): string {
  if (!step.startsWith('#')) return step;
  const name = names?.[step];
  if (name === undefined) throw new Error(`the name ${step} is not bound`);
  return name;
}

function bound(token: string, { ExpressionAttributeValues: values }: Bindings): AttributeValue {
  const value = values?.[token];
  if (value === undefined) throw new Error(`the value ${token} is not bound`);
  return value;
}
