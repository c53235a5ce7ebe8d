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
  /** Placeholders by the attribute they stand for. */
  readonly #names = new Map<string, string>();
  readonly #values: AttributeValue[] = [];

  constructor(key: Item) {
    this.#key = key;
  }

  /** The placeholder of an attribute's name. */
  name(attribute: string): string {
    const known = this.#names.get(attribute);
    if (known !== undefined) return known;
    const placeholder = `#n${this.#names.size}`;
    this.#names.set(attribute, placeholder);
    return placeholder;
  }

  /** The placeholder of a value. */
  value(value: AttributeValue): string {
    this.#values.push(value);
    return `:v${this.#values.length - 1}`;
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
      ExpressionAttributeNames: Object.fromEntries(
        [...this.#names].map(([attribute, placeholder]) => [placeholder, attribute]),
      ),
      ExpressionAttributeValues: Object.fromEntries(this.#values.map((value, at) => [`:v${at}`, value])),
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    };
  }
}
