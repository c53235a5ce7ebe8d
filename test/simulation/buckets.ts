// The regions' audit buckets: what is put stays as it was put first; a bucket may be out of reach for a while.

import type { AuditPlace } from '../../bin/audit/places.ts';
import type { AuditStore } from '../../lambdas/store/audit-store.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { auditKey, losingPayloadKey } from '../../protocol/audit.ts';
import { routingChangeKey } from '../../protocol/routing.ts';
import type { Dice } from './dice.ts';
import type { Scheduler } from './scheduler.ts';

export interface BucketFaults {
  readonly latencyMs: readonly [number, number];
  /** A call fails; half of the puts that fail landed all the same. */
  readonly fails: number;
}

export class Buckets {
  readonly #objects = new Map<string, Map<string, string>>();
  readonly #unreachable = new Set<string>();
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #faults: () => BucketFaults;
  readonly #areLinked: (from: string, to: string) => boolean;

  constructor(
    scheduler: Scheduler,
    dice: Dice,
    faults: () => BucketFaults,
    areLinked: (from: string, to: string) => boolean,
  ) {
    this.#scheduler = scheduler;
    this.#dice = dice;
    this.#faults = faults;
    this.#areLinked = areLinked;
  }

  /** The bucket of `region`, from `from`. */
  store(region: string, from: string): AuditStore {
    const objects = this.objects(region);
    const call = async (isPut: boolean, perform: () => string | undefined) => {
      const { latencyMs, fails } = this.#faults();
      await this.#scheduler.wait(this.#dice.between(...latencyMs));
      const failed = this.#dice.chance(fails);
      const reachable = !this.#unreachable.has(region) && this.#areLinked(from, region);
      const result = reachable && (!failed || (isPut && this.#dice.chance(0.5))) ? perform() : undefined;
      if (reachable && !failed) return result;
      throw new StoreUnavailableError(`simulated: the bucket of ${region} did not answer`, {
        retryable: true,
        mayHaveLanded: isPut,
      });
    };
    const put = async (key: string, text: string) => {
      await call(true, () => {
        if (!objects.has(key)) objects.set(key, text);
        return undefined;
      });
    };
    return {
      archive: (record, sequence, hash, text) => put(auditKey(record, sequence, hash), text),
      putPayload: (tenant, sha256, payload) => put(losingPayloadKey(tenant, sha256), payload),
      payload: (tenant, sha256) => call(false, () => objects.get(losingPayloadKey(tenant, sha256))),
      entry: (record, sequence, hash) => call(false, () => objects.get(auditKey(record, sequence, hash))),
      archiveRouting: (change) => put(routingChangeKey(change), JSON.stringify(change)),
    };
  }

  /** What the bucket holds, by key. */
  objects(region: string): Map<string, string> {
    const objects = this.#objects.get(region) ?? new Map<string, string>();
    this.#objects.set(region, objects);
    return objects;
  }

  /** As the operator's commands see it. */
  place(region: string): AuditPlace {
    const objects = this.objects(region);
    return {
      region,
      async *keys(prefix) {
        yield* [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
      },
      text: async (key) => objects.get(key),
      put: async (key, text) => {
        if (!objects.has(key)) objects.set(key, text);
      },
      head: async () => undefined,
    };
  }

  setReachable(region: string, reachable: boolean): void {
    if (reachable) this.#unreachable.delete(region);
    else this.#unreachable.add(region);
  }
}
