// What is wrong with a control item, by the same codecs and formats that its readers use. None has a hash: only what
// would not read as it was written is found. One that is not known here is somebody's own, and is not judged.
import type { ExportedItem, ExportedValue } from '../../protocol/export-files.ts';
import {
  ATTRIBUTES,
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  heartbeatKey,
  jobKey,
  observerKey,
  RESTORE_KEY,
  ROUTING_KEY,
  regionStatusKey,
  type StoredItem,
  type StoredValue,
  scrubberKey,
  verificationKey,
  writeProbeKey,
} from '../../protocol/items.ts';
import { reportOf, routingStateOf } from '../../protocol/routing-items.ts';

/** Gives what is wrong; undefined for nothing. `name`: what the key has behind its prefix. */
type Check = (item: ExportedItem, name: string) => string | undefined;

const revised: Check = (item) => countFault(item, 'revision') ?? jsonFault(item['state']);

const CHECKS: ReadonlyMap<string, Check> = new Map([
  [
    GENERATION_KEY.pk,
    (item) =>
      ['open', 'restoring'].includes(textOf(item['status']) ?? '')
        ? countFault(item, 'restoreEpoch')
        : 'its status is neither open nor restoring',
  ],
  [ROUTING_KEY.pk, (item) => readingFault('routing state', () => routingStateOf(plainItem(item)))],
  [RESTORE_KEY.pk, revised],
]);

const CHECKS_BY_PREFIX: readonly (readonly [prefix: string, check: Check])[] = [
  [
    observerKey('').pk,
    (item) => countFault(item, 'slotMs') ?? readingFault('report', () => reportOf(plainItem(item))),
  ],
  [
    jobKey('').pk,
    (item) =>
      countFault(item, 'epoch', 'at') ??
      (textOf(item['region']) ? undefined : 'it does not say in which region'),
  ],
  [
    regionStatusKey('').pk,
    (item) => countFault(item, 'checkedAt') ?? (item['steadySince'] && countFault(item, 'steadySince')),
  ],
  [
    heartbeatKey('').pk,
    (item, region) =>
      textOf(item[ATTRIBUTES.feedShard]) === HEARTBEAT_SHARD &&
      /^\d{13,}#/.test(textOf(item[ATTRIBUTES.feedOrder]) ?? '') &&
      textOf(item[ATTRIBUTES.feedOrder])?.endsWith(`#${region}`)
        ? undefined
        : 'it is no beat of its region',
  ],
  [writeProbeKey('').pk, (item) => countFault(item, 'probedAt')],
  [verificationKey('').pk, revised],
  [scrubberKey('').pk, revised],
];

/** Undefined when it reads as it was written, or when what it should be is not known. */
export function controlFault(pk: string, item: ExportedItem): string | undefined {
  const check = CHECKS.get(pk);
  if (check) return check(item, '');
  const found = CHECKS_BY_PREFIX.find(([prefix]) => pk.startsWith(prefix));
  return found?.[1](item, pk.slice(found[0].length));
}

function countFault(item: ExportedItem, ...names: readonly string[]): string | undefined {
  const odd = names.find((name) => !isCount(item[name]));
  return odd === undefined ? undefined : `its ${odd} is no whole number from 0`;
}

function isCount(value: ExportedValue | undefined): boolean {
  return value !== undefined && 'N' in value && Number.isSafeInteger(Number(value.N)) && Number(value.N) >= 0;
}

function jsonFault(value: ExportedValue | undefined): string | undefined {
  if (value === undefined) return undefined;
  try {
    JSON.parse(textOf(value) ?? '');
    return undefined;
  } catch {
    return 'its state is no JSON';
  }
}

/** The codec's own error repeats what it met. */
function readingFault(what: string, read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch {
    return `it is no ${what}`;
  }
}

function plainItem(item: ExportedItem): StoredItem {
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: ExportedValue): StoredValue {
  if ('L' in value) return { L: value.L.map(plainValue) };
  return 'S' in value || 'N' in value ? value : {};
}

function textOf(value: ExportedValue | undefined): string | undefined {
  return value && 'S' in value ? value.S : undefined;
}
