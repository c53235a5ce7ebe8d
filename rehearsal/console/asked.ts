// What somebody asks of the console with a POST, read from its body: a fault of a region, a fault of what is stored, or a
// schedule to be run. Says in words what was expected and what came.

import { FAULTS, type Fault, STORAGE_FAULTS } from '../supervisor/state.ts';
import type { Damaged } from '../supervisor/storage.ts';

export type AskedFault =
  | { readonly fault: Fault; readonly region: string }
  | { readonly fault: 'bucket'; readonly region: string; readonly available: boolean }
  | { readonly fault: 'rot'; readonly region: string; readonly key?: string }
  | ({ readonly fault: 'damage' } & Damaged)
  | { readonly fault: 'wipe' };

export interface AskedSchedule {
  readonly region: string;
  readonly schedule: string;
  /** Unix ms. */
  readonly atMs?: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** Thrown with words for whoever asked. */
export class NotAsked extends Error {
  override readonly name = 'NotAsked';
}

/** @throws NotAsked the body says no fault */
export function faultIn(body: string): AskedFault {
  const expected = `expected {"fault": "${[...FAULTS, ...STORAGE_FAULTS].join('" | "')}", …}`;
  const fields = fieldsIn(body, expected);
  const { fault, region, available, key } = fields;
  const ofRegion = FAULTS.find((name) => name === fault);
  if (ofRegion) return { region: textIn(fields, 'region', ofRegion), fault: ofRegion };
  switch (STORAGE_FAULTS.find((name) => name === fault)) {
    case 'bucket':
      if (typeof available !== 'boolean')
        throw new NotAsked(
          `expected {"fault": "bucket", "region": "…", "available": true | false}, got available ${said(available)}`,
        );
      return { fault: 'bucket', region: textIn(fields, 'region', 'bucket'), available };
    case 'rot':
      if (key === undefined) return { fault: 'rot', region: textIn(fields, 'region', 'rot') };
      return { fault: 'rot', region: textIn(fields, 'region', 'rot'), key: textIn(fields, 'key', 'rot') };
    case 'damage':
      return { fault: 'damage', ...damagedIn(fields) };
    case 'wipe':
      if (region !== undefined)
        throw new NotAsked(`expected {"fault": "wipe"}, which is of all regions, got region ${said(region)}`);
      return { fault: 'wipe' };
    default:
      throw new NotAsked(
        `${expected}, got ${fault === undefined ? `region ${said(region)} and ` : ''}fault ${said(fault)}`,
      );
  }
}

/** @throws NotAsked the body says no schedule */
export function scheduleIn(body: string): AskedSchedule {
  const expected = 'expected {"region": "…", "schedule": "backup-daily" | …, "at"?: "<ISO time>"}';
  const { region, schedule, at } = fieldsIn(body, expected);
  if (typeof region !== 'string') throw new NotAsked(`${expected}, got region ${said(region)}`);
  if (typeof schedule !== 'string') throw new NotAsked(`${expected}, got schedule ${said(schedule)}`);
  if (at === undefined) return { region, schedule };
  const atMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (!Number.isFinite(atMs)) throw new NotAsked(`${expected}, got at ${said(at)}`);
  return { region, schedule, atMs };
}

function fieldsIn(body: string, expected: string): Fields {
  try {
    return (JSON.parse(body) ?? {}) as Fields;
  } catch {
    throw new NotAsked(`${expected}, got what is no JSON`);
  }
}

function textIn(fields: Fields, name: 'region' | 'key', fault: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new NotAsked(`expected {"fault": "${fault}", "${name}": "…"}, got ${name} ${said(value)}`);
}

function damagedIn({ records, record }: Fields): Damaged {
  if (typeof record === 'string' && records === undefined) return { record };
  if (typeof records === 'number' && record === undefined) return { records };
  throw new NotAsked(
    'expected {"fault": "damage", "records": <how many>} or {"fault": "damage", "record": "<tenant>/<collection>/<id>"}, ' +
      `got records ${said(records)} and record ${said(record)}`,
  );
}

function said(value: unknown): string {
  return JSON.stringify(value) ?? 'undefined';
}
