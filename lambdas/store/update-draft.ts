// An `UpdateItem` being put together: what it sets, removes and asks for, under placeholders that name what they stand
// for, since attribute names may be reserved words.
import type { AttributeValue, UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';

export type Item = Record<string, AttributeValue>;
export type Update = Omit<UpdateItemCommandInput, 'TableName'>;

export class UpdateDraft {
  readonly #key: Item;
  readonly #sets: string[] = [];
  readonly #removes: string[] = [];
  readonly #conditions: string[] = [];
  /** By the attribute they stand for. */
  readonly #placeholders = new Map<string, string>();
  /** By placeholder, as they are sent: one of these is built for every write. */
  readonly #names: Record<string, string> = {};
  readonly #values: Item = {};
  #valueCount = 0;

  constructor(key: Item) {
    this.#key = key;
  }

  /** The placeholder of an attribute's name. */
  name(attribute: string): string {
    const known = this.#placeholders.get(attribute);
    if (known !== undefined) return known;
    const placeholder = `#n${this.#placeholders.size}`;
    this.#placeholders.set(attribute, placeholder);
    this.#names[placeholder] = attribute;
    return placeholder;
  }

  /** The placeholder of a value. */
  value(value: AttributeValue): string {
    const placeholder = `:v${this.#valueCount++}`;
    this.#values[placeholder] = value;
    return placeholder;
  }

  set(attribute: string, value: AttributeValue): this {
    this.#sets.push(`${this.name(attribute)} = ${this.value(value)}`);
    return this;
  }

  remove(...attributes: readonly string[]): this {
    this.#removes.push(...attributes.map((attribute) => this.name(attribute)));
    return this;
  }

  /** All conditions must hold. */
  require(condition: string): this {
    this.#conditions.push(condition);
    return this;
  }

  build(): Update {
    const parts = [
      ...(this.#sets.length > 0 ? [`SET ${this.#sets.join(', ')}`] : []),
      ...(this.#removes.length > 0 ? [`REMOVE ${this.#removes.join(', ')}`] : []),
    ];
    return {
      Key: this.#key,
      UpdateExpression: parts.join(' '),
      ConditionExpression: this.#conditions.join(' AND '),
      ExpressionAttributeNames: this.#names,
      ExpressionAttributeValues: this.#values,
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    };
  }
}
