// The routing item and the observers' reports as DynamoDB holds them, in the plain shape its clients take and give, and
// the one write that changes the routing state. Functions and operators' commands share it, so that neither can write
// what the other cannot read.
import { EdenFieldError } from './errors.ts';
import { ROUTING_KEY, type StoredItem, type StoredValue } from './items.ts';
import type { ObserverReport, RoutingChange, RoutingState, Vote, Watched } from './routing.ts';

/** What these items are made of, as written. */
export type PlainValue = { S: string } | { N: string } | { L: PlainValue[] };
export type PlainItem = Record<string, PlainValue>;

/** An `UpdateItem` but for the table's name. */
export interface PlainUpdate {
  readonly Key: PlainItem;
  readonly UpdateExpression: string;
  readonly ConditionExpression: string;
  readonly ExpressionAttributeNames: Record<string, string>;
  readonly ExpressionAttributeValues: PlainItem;
}

/** An item that nothing of ours would have written. */
export class DamagedItemError extends EdenFieldError {
  readonly code = 'damaged_item';
  readonly retryable = false;
  constructor(what: string, expected: string, got: unknown, options?: ErrorOptions) {
    super(
      `${what}: expected ${expected}, got ${JSON.stringify(got) ?? 'nothing'}; mend or delete the item by hand, every change of the routing state stands in each region's audit bucket under routing/`,
      options,
    );
  }
}

/** Its attributes beside the key. */
export function routingItemOf(state: RoutingState): PlainItem {
  const { activeRegion, epoch, since, reason, restoreEpoch, draining, changes } = state;
  return {
    activeRegion: { S: activeRegion },
    epoch: { N: String(epoch) },
    since: { N: String(since) },
    reason: { S: reason },
    restoreEpoch: { N: String(restoreEpoch) },
    ...(draining && { draining: { S: JSON.stringify(draining) } }),
    changes: { L: changes.map((change) => ({ S: JSON.stringify(change) })) },
  };
}

/**
 * An item with nothing but `activeRegion` and `epoch` is read too: since 0, no reason, no changes.
 * @throws {DamagedItemError}
 */
export function routingStateOf(item: StoredItem): RoutingState {
  const what = 'the routing item';
  const draining = item['draining'];
  return {
    activeRegion: textIn(what, item['activeRegion']?.S, 'activeRegion'),
    epoch: wholeIn(what, numberOf(item['epoch']), 'epoch'),
    since: item['since'] ? wholeIn(what, numberOf(item['since']), 'since') : 0,
    reason: item['reason'] ? stringIn(what, item['reason'].S, 'reason') : '',
    restoreEpoch: item['restoreEpoch'] ? wholeIn(what, numberOf(item['restoreEpoch']), 'restoreEpoch') : 0,
    ...(draining && { draining: drainingOf(fieldsOf('its draining', parsed('its draining', draining.S))) }),
    changes: item['changes']
      ? listIn(what, item['changes'].L, 'changes').map(({ S }) =>
          routingChangeOf(parsed('a routing change', S)),
        )
      : [],
  };
}

/** Sets the whole state, as long as the epoch is still `previous`'s, or there is still no item. */
export function routingUpdateOf(previous: RoutingState | undefined, next: RoutingState): PlainUpdate {
  const attributes = Object.entries(routingItemOf(next));
  const sets = attributes.map((_, n) => `#a${n} = :a${n}`).join(', ');
  return {
    Key: { pk: { S: ROUTING_KEY.pk }, sk: { S: ROUTING_KEY.sk } },
    UpdateExpression: `SET ${sets}${next.draining ? '' : ' REMOVE #draining'}`,
    ConditionExpression: previous ? '#epoch = :previous' : 'attribute_not_exists(#epoch)',
    ExpressionAttributeNames: {
      '#epoch': 'epoch',
      ...(!next.draining && { '#draining': 'draining' }),
      ...Object.fromEntries(attributes.map(([name], n) => [`#a${n}`, name])),
    },
    ExpressionAttributeValues: {
      ...Object.fromEntries(attributes.map(([, value], n) => [`:a${n}`, value])),
      ...(previous && { ':previous': { N: String(previous.epoch) } }),
    },
  };
}

/** Its attributes beside the key. */
export function reportItemOf(report: ObserverReport): PlainItem {
  return { slotMs: { N: String(report.slotMs) }, report: { S: JSON.stringify(report) } };
}

/** @throws {DamagedItemError} */
export function reportOf(item: StoredItem): ObserverReport {
  const what = "an observer's report";
  const fields = fieldsOf(what, parsed(what, item['report']?.S));
  const watched = Object.entries(fieldsOf(what, fields['watched'])).map(
    ([region, value]) => [region, watchedOf(fieldsOf(`${what} on ${region}`, value))] as const,
  );
  return {
    observer: textIn(what, fields['observer'], 'observer'),
    slotMs: wholeIn(what, fields['slotMs'], 'slotMs'),
    at: wholeIn(what, fields['at'], 'at'),
    watched: Object.fromEntries(watched),
    ...(fields['abstains'] !== undefined && { abstains: stringIn(what, fields['abstains'], 'abstains') }),
    ...(fields['vote'] !== undefined && { vote: voteOf(fieldsOf(what, fields['vote'])) }),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function drainingOf(fields: Fields): NonNullable<RoutingState['draining']> {
  const what = 'its draining';
  return { to: textIn(what, fields['to'], 'to'), since: wholeIn(what, fields['since'], 'since') };
}

/** @throws {DamagedItemError} `value` is no change of the routing state, e.g. parsed from an object of an audit bucket */
export function routingChangeOf(value: unknown): RoutingChange {
  const what = 'a routing change';
  const fields = fieldsOf(what, value);
  const votes = fields['votes'];
  if (!Array.isArray(votes)) throw new DamagedItemError(what, 'a list of votes', votes);
  return {
    epoch: wholeIn(what, fields['epoch'], 'epoch'),
    at: wholeIn(what, fields['at'], 'at'),
    what: oneOf(what, fields['what'], ['drain', 'drain_given_up', 'move']),
    from: textIn(what, fields['from'], 'from'),
    to: textIn(what, fields['to'], 'to'),
    by: oneOf(what, fields['by'], ['observers', 'operator']),
    reason: stringIn(what, fields['reason'], 'reason'),
    votes: votes.map((vote: unknown) => voteOf(fieldsOf(what, vote))),
    forced: flagIn(what, fields['forced'], 'forced'),
    restoreEpoch: wholeIn(what, fields['restoreEpoch'], 'restoreEpoch'),
  };
}

function voteOf(fields: Fields): Vote {
  const what = 'a vote';
  return {
    observer: textIn(what, fields['observer'], 'observer'),
    against: textIn(what, fields['against'], 'against'),
    epoch: wholeIn(what, fields['epoch'], 'epoch'),
    at: wholeIn(what, fields['at'], 'at'),
    emergency: flagIn(what, fields['emergency'], 'emergency'),
    why: stringIn(what, fields['why'], 'why'),
  };
}

function watchedOf(fields: Fields): Watched {
  const what = "an observer's report";
  return {
    failures: wholeIn(what, fields['failures'], 'failures'),
    since: wholeIn(what, fields['since'], 'since'),
    why: stringIn(what, fields['why'], 'why'),
  };
}

function parsed(what: string, text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch (cause) {
    throw new DamagedItemError(what, 'JSON', text, { cause });
  }
}

function fieldsOf(what: string, value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DamagedItemError(what, 'an object', value);
  return value as Fields;
}

function numberOf(value: StoredValue | undefined): unknown {
  return value?.N === undefined ? value : Number(value.N);
}

function wholeIn(what: string, value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new DamagedItemError(what, `${name} to be a whole number from 0`, value);
}

function stringIn(what: string, value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  throw new DamagedItemError(what, `${name} to be a text`, value);
}

function textIn(what: string, value: unknown, name: string): string {
  if (value !== '') return stringIn(what, value, name);
  throw new DamagedItemError(what, `${name} not to be empty`, value);
}

function flagIn(what: string, value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new DamagedItemError(what, `${name} to be true or false`, value);
}

function listIn(
  what: string,
  value: readonly StoredValue[] | undefined,
  name: string,
): readonly StoredValue[] {
  if (value) return value;
  throw new DamagedItemError(what, `${name} to be a list`, value);
}

function oneOf<const Name extends string>(what: string, value: unknown, names: readonly Name[]): Name {
  const found = names.find((name) => name === value);
  if (found !== undefined) return found;
  throw new DamagedItemError(what, `one of ${names.join(', ')}`, value);
}
