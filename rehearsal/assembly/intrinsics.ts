// CloudFormation's intrinsic functions, worked out. A scope knows one template's names (parameters, resources,
// conditions, mappings) and what other stacks export; this file knows the functions and nothing else.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html

/** What a template value may refer to. Every method fails through {@link Scope.fail}. */
export interface Scope {
  ref(name: string, path: string): unknown;
  getAtt(logicalId: string, attribute: string, path: string): unknown;
  condition(name: string, path: string): boolean;
  mapping(map: string, key: string, second: string, path: string): unknown;
  importValue(name: string, path: string): unknown;
  stackOutput(output: { stack: string; output: string; region: string | undefined }, path: string): unknown;
  /** The value of `{{resolve:<service>:<reference>}}`. */
  dynamicReference(service: string, reference: string, path: string): string;
  fail(path: string, why: string): never;
}

/** What `AWS::NoValue` gives: whatever holds it is left out. */
export const NO_VALUE = Symbol('AWS::NoValue');

type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value` with every intrinsic function in it replaced by its result; `path` is where it stands, for errors. */
export function resolveValue(value: unknown, scope: Scope, path: string): unknown {
  if (typeof value === 'string') return resolveDynamic(value, scope, path);
  if (Array.isArray(value))
    return value
      .map((item, index) => resolveValue(item, scope, `${path}[${index}]`))
      .filter((item) => item !== NO_VALUE);
  if (!isFields(value)) return value;
  const call = callOf(value);
  if (call) {
    const result = FUNCTIONS[call.name];
    if (!result) return scope.fail(`${path}.${call.name}`, 'this reader knows no such intrinsic function');
    return result(call.argument, scope, `${path}.${call.name}`);
  }
  const resolved: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const one = resolveValue(item, scope, `${path}.${key}`);
    if (one !== NO_VALUE) resolved[key] = one;
  }
  return resolved;
}

/** Whether a condition's expression holds. `{ Condition: name }` means a reference only here: IAM has the same key. */
export function resolveCondition(expression: unknown, scope: Scope, path: string): boolean {
  const [name, argument] = isFields(expression) ? (Object.entries(expression)[0] ?? []) : [];
  const each = () =>
    listOf(argument, scope, path).map((item, index) =>
      resolveCondition(item, scope, `${path}.${name}[${index}]`),
    );
  switch (name) {
    case 'Condition':
      return scope.condition(String(argument), path);
    case 'Fn::Equals': {
      const [left, right] = listOf(argument, scope, path).map((item) => resolveValue(item, scope, path));
      return JSON.stringify(left) === JSON.stringify(right);
    }
    case 'Fn::And':
      return each().every(Boolean);
    case 'Fn::Or':
      return each().some(Boolean);
    case 'Fn::Not':
      return !each()[0];
    default:
      return scope.fail(path, `expected a condition function, got ${JSON.stringify(expression)}`);
  }
}

function callOf(value: Fields): { name: string; argument: unknown } | undefined {
  const keys = Object.keys(value);
  const [name] = keys;
  if (keys.length !== 1 || name === undefined) return undefined;
  return name === 'Ref' || name.startsWith('Fn::') ? { name, argument: value[name] } : undefined;
}

type IntrinsicFunction = (argument: unknown, scope: Scope, path: string) => unknown;

const FUNCTIONS: Readonly<Record<string, IntrinsicFunction>> = {
  Ref: (argument, scope, path) => scope.ref(textOf(argument, scope, path), path),
  'Fn::GetAtt': (argument, scope, path) => {
    const [logicalId, ...rest] =
      typeof argument === 'string' ? argument.split('.') : listOf(argument, scope, path);
    const attribute = rest.map((part) => textOf(resolveValue(part, scope, path), scope, path)).join('.');
    return scope.getAtt(textOf(logicalId, scope, path), attribute, path);
  },
  'Fn::Sub': (argument, scope, path) => {
    const [text, variables] = Array.isArray(argument) ? argument : [argument, {}];
    return substitute(textOf(text, scope, path), isFields(variables) ? variables : {}, scope, path);
  },
  'Fn::Join': (argument, scope, path) => {
    const [delimiter, items] = listOf(argument, scope, path);
    return listOf(resolveValue(items, scope, path), scope, path)
      .map((item) => textOf(item, scope, path))
      .join(textOf(delimiter, scope, path));
  },
  'Fn::Select': (argument, scope, path) => {
    const [position, items] = listOf(argument, scope, path);
    const index = Number(resolveValue(position, scope, path));
    const list = listOf(resolveValue(items, scope, path), scope, path);
    return index in list ? list[index] : scope.fail(path, `there is no item ${index} of ${list.length}`);
  },
  'Fn::Split': (argument, scope, path) => {
    const [delimiter, text] = listOf(argument, scope, path);
    return textOf(resolveValue(text, scope, path), scope, path).split(textOf(delimiter, scope, path));
  },
  'Fn::If': (argument, scope, path) => {
    const [condition, then, otherwise] = listOf(argument, scope, path);
    const chosen = scope.condition(textOf(condition, scope, path), path) ? then : otherwise;
    return resolveValue(chosen, scope, path);
  },
  'Fn::FindInMap': (argument, scope, path) => {
    const [map, key, second] = listOf(argument, scope, path).map((part) =>
      textOf(resolveValue(part, scope, path), scope, path),
    ) as [string, string, string];
    return scope.mapping(map, key, second, path);
  },
  'Fn::ImportValue': (argument, scope, path) =>
    scope.importValue(textOf(resolveValue(argument, scope, path), scope, path), path),
  'Fn::GetStackOutput': (argument, scope, path) => {
    const { StackName, OutputName, Region } = fieldsOf(resolveValue(argument, scope, path), scope, path);
    return scope.stackOutput(
      {
        stack: textOf(StackName, scope, path),
        output: textOf(OutputName, scope, path),
        region: Region === undefined ? undefined : textOf(Region, scope, path),
      },
      path,
    );
  },
  'Fn::Base64': (argument, scope, path) =>
    Buffer.from(textOf(resolveValue(argument, scope, path), scope, path)).toString('base64'),
};

/** `${Name}`, `${Resource.Attribute}`, and `${!Literal}`, which stays as `${Literal}`. */
function substitute(text: string, variables: Fields, scope: Scope, path: string): string {
  return text.replace(/\$\{(!?)([^}]*)\}/g, (_, literal: string, inside: string) => {
    if (literal) return `\${${inside}}`;
    const name = inside.trim();
    if (name in variables) return textOf(resolveValue(variables[name], scope, path), scope, path);
    const dot = name.indexOf('.');
    const value =
      dot < 0 ? scope.ref(name, path) : scope.getAtt(name.slice(0, dot), name.slice(dot + 1), path);
    return textOf(value, scope, path);
  });
}

function resolveDynamic(text: string, scope: Scope, path: string): string {
  if (!text.includes('{{resolve:')) return text;
  return text.replace(/\{\{resolve:([^:}]+):([^}]+)\}\}/g, (_, service: string, reference: string) =>
    scope.dynamicReference(service, reference, path),
  );
}

function textOf(value: unknown, scope: Scope, path: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return scope.fail(
    path,
    `expected text, got ${value === NO_VALUE ? 'AWS::NoValue' : JSON.stringify(value)}`,
  );
}

function listOf(value: unknown, scope: Scope, path: string): readonly unknown[] {
  return Array.isArray(value) ? value : scope.fail(path, `expected a list, got ${JSON.stringify(value)}`);
}

function fieldsOf(value: unknown, scope: Scope, path: string): Fields {
  return isFields(value) ? value : scope.fail(path, `expected an object, got ${JSON.stringify(value)}`);
}
