// Conflicts in the making: strangers who know nothing of one record, and what a test looks at afterwards.
import assert from 'node:assert/strict';
import type { StoredRecord } from '../../lambdas/core/record.ts';
import type { Store } from '../../lambdas/store/store.ts';
import { recordPk, STATE } from '../../protocol/items.ts';
import { OUTBOX_BYTES_MAX } from '../../protocol/limits.ts';
import type { Conflict } from '../../protocol/messages.ts';
import type { Json, Operation } from '../../protocol/operations.ts';
import type { Verdict } from '../../protocol/verdicts.ts';
import { Device, Functions, type FunctionsOptions } from './functions.ts';

export const EARLIER_MS = -60_000;
export const LATER_MS = 5_000;

/** Somebody who knows of no record, with a version that far from now. */
export const stranger = (payload: Json, offsetMs: number): Operation => {
  const device = new Device();
  return device.put('a', payload, { version: device.version(Date.now() + offsetMs) });
};

export const reasonOf = (verdict: Verdict) => ('reason' in verdict ? verdict.reason : verdict.verdict);

/** Runs `once` before the first of these calls. */
export const before =
  <Name extends 'decide' | 'trim' | 'copies'>(name: Name, once: () => Promise<unknown>) =>
  (store: Store): Store => {
    let ran = false;
    const call = async (...args: never[]) => {
      if (!ran) {
        ran = true;
        await once();
      }
      return (store[name] as (...args: never[]) => Promise<unknown>)(...args);
    };
    return { ...store, [name]: call };
  };

/** Record `notes/a` of many tenants, on the functions' table. */
export class Conflicts {
  readonly functions: Functions;
  #tenants = 0;

  constructor(functions: Functions) {
    this.functions = functions;
  }

  newTenant(): string {
    this.#tenants += 1;
    return `t-${this.#tenants}`;
  }

  stored(tenant: string): Promise<StoredRecord | undefined> {
    return this.functions.service.store.read(keyOf(tenant));
  }

  async payloadOf(tenant: string): Promise<Json | undefined> {
    const reply = await this.functions.record('GET', tenant, 'a');
    return reply.status === 200 ? reply.body.payload : undefined;
  }

  /** The latest first. */
  async trailOf(tenant: string, on = this.functions): Promise<readonly Conflict[]> {
    return (await on.conflicts(tenant, 'a')).body.conflicts;
  }

  /** Functions of their own on the same table, closed again. */
  async withFunctions<T>(
    options: Partial<FunctionsOptions>,
    run: (own: Functions) => Promise<T>,
  ): Promise<T> {
    const own = new Functions({ running: this.functions.running, ...options });
    try {
      return await run(own);
    } finally {
      own.close();
    }
  }

  /** Changes a region's copy of the record behind everybody's back. */
  async tamper(tenant: string, region: string, over: Record<string, { S: string }>): Promise<void> {
    const { table } = this.functions.running;
    const key = { pk: { S: recordPk(keyOf(tenant)) }, sk: { S: STATE } };
    await table.tamper(region, key, { ...(await table.item(region, key)), ...over });
  }

  corrupt(tenant: string, region: string): Promise<void> {
    return this.tamper(tenant, region, { payload: { S: '"not what was written"' } });
  }

  /** Conflicts, all lost by 15 KB, until the outbox of the record holds no more of them; gives how many. */
  async fillOutbox(tenant: string, on: Functions): Promise<number> {
    for (let conflicts = 0; ; conflicts += 1) {
      const { audit } = (await this.stored(tenant)) ?? assert.fail('expected a record');
      const bytes = audit.outbox.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
      if (bytes + 15_500 > OUTBOX_BYTES_MAX) return conflicts;
      assert.ok(conflicts < 10, `${conflicts} conflicts left ${bytes} bytes in the outbox`);
      await on.verdict(tenant, stranger('x'.repeat(15_000), EARLIER_MS));
    }
  }
}

function keyOf(tenant: string) {
  return { tenant, collection: 'notes', id: 'a' };
}
