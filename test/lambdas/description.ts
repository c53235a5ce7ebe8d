// Holds answers to docs/openapi.yaml: their status, their headers in both directions, and their body by its schema.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';

export const DESCRIPTION_TEXT = readFileSync(
  join(import.meta.dirname, '..', '..', 'docs', 'openapi.yaml'),
  'utf8',
);

export type Node = { readonly [name: string]: unknown };

export const DESCRIPTION: Node = parse(DESCRIPTION_TEXT);

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema(DESCRIPTION, 'description');

/** A member of a node that must be a node. */
export function child(node: Node, ...path: readonly string[]): Node {
  let at: Node = node;
  for (const name of path) {
    const next = at[name];
    assert.ok(typeof next === 'object' && next !== null, `docs/openapi.yaml: expected ${path.join(' / ')}`);
    at = resolve(next as Node);
  }
  return at;
}

function resolve(node: Node): Node {
  const ref = node['$ref'];
  // A schema may have members beside its $ref; those stay with the validator.
  if (typeof ref !== 'string' || Object.keys(node).length > 1) return node;
  return child(DESCRIPTION, ...ref.split('/').slice(1));
}

/** Every operation, as `<METHOD> <path>`. */
export function describedOperations(): string[] {
  const methods = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options'];
  return Object.entries(child(DESCRIPTION, 'paths')).flatMap(([path, item]) =>
    Object.keys(item as Node)
      .filter((name) => methods.includes(name))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
}

export interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Given to every answer; what they say needs no describing. */
const EVERYWHERE = new Set([
  'cache-control',
  'content-security-policy',
  'content-type',
  'strict-transport-security',
  'x-content-type-options',
]);

/** Fails unless the answer is one that the operation is described to give. */
export function assertDescribed(operation: string, { status, headers, text }: Answer): void {
  const [method, path] = operation.split(' ') as [string, string];
  const where = `${operation} ${status}`;
  const responses = child(DESCRIPTION, 'paths', path, method.toLowerCase(), 'responses');
  assert.ok(responses[status], `${where}: not described`);
  const response = child(responses, String(status));
  const described = (response['headers'] ?? {}) as Node;
  for (const [name, header] of Object.entries(described)) {
    const { required, schema } = resolve(header as Node);
    const value = headers[name];
    if (value === undefined) assert.ok(required !== true, `${where}: no header ${name}`);
    else assertValid(ajv.compile(schema as Node), value, `${where}, header ${name}`);
  }
  for (const name of Object.keys(headers))
    assert.ok(EVERYWHERE.has(name) || name in described, `${where}: header ${name} is not described`);
  assertBody(where, response, headers['content-type'], text);
}

function assertBody(where: string, response: Node, contentType: string | undefined, text: string): void {
  if (!response['content']) {
    assert.equal(text, '', `${where}: expected no body`);
    return;
  }
  const content = child(response, 'content');
  assert.ok(contentType !== undefined && content[contentType], `${where}: ${contentType} is not described`);
  const { schema } = content[contentType] as Node;
  const body: unknown = contentType.endsWith('json') ? JSON.parse(text) : text;
  assertValid(ajv.compile(anchored(schema as Node)), body, where);
}

/** A schema outside of the document, its references led back into it. */
function anchored(schema: Node): Node {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"description#/')) as Node;
}

function assertValid(validate: ReturnType<typeof ajv.compile>, value: unknown, where: string): void {
  assert.ok(validate(value), `${where}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`);
}

/** Whether a value is what the component schema describes. */
export function isDescribed(schema: string, value: unknown): boolean {
  return ajv.compile({ $ref: `description#/components/schemas/${schema}` })(value);
}
