// What can be done to stored data from outside: a bucket that answers nothing, a backup that rots, records that are
// damaged or lost, records that are planted. The process that plays AWS does it; here is what it is called for people,
// what stands in the way, and how things stand.
import type { RecordKey } from '../../protocol/names.ts';
import type { Deployment } from '../assembly/assembly.ts';
import { checkPlanting, type Planting } from '../planting.ts';
import type { StorageOrder } from './messages.ts';
import { FaultRefused } from './region-runner.ts';
import type { BucketState, StorageFault } from './state.ts';
import type { Timeline } from './timeline.ts';

/** So many records, any; or one, `<tenant>/<collection>/<id>`. */
export type Damaged = { readonly records: number } | { readonly record: string };

export interface StorageFaultsOptions {
  readonly deployment: Pick<Deployment, 'stage' | 'ofType'>;
  readonly table: string;
  readonly regions: readonly string[];
  /** Resolves with the names of what it was done to. */
  readonly order: (order: StorageOrder) => Promise<readonly string[]>;
  readonly timeline: Timeline;
  /** Unix ms with fractions. */
  readonly now: () => number;
}

/** More names than this say nothing to a reader of a timeline. */
const NAMED_MAX = 3;
const PLANTED: Planting = { tenant: 'planted', collection: 'notes', records: 0, payloadBytes: 200 };

/** Each resolves once it is done; each throws a RangeError when it cannot be done as it was asked, and nothing was. */
export class StorageFaults {
  readonly #options: StorageFaultsOptions;
  readonly #buckets: Map<string, BucketState>;

  constructor(options: StorageFaultsOptions) {
    this.#options = options;
    const { deployment, regions, now } = options;
    const prefix = `eden-field-${deployment.stage}-backup-`;
    this.#buckets = new Map(
      regions.flatMap((region) => {
        const bucket = deployment
          .ofType('AWS::S3::Bucket', region)
          .map(({ physicalId }) => physicalId)
          .find((name) => name.startsWith(prefix));
        return bucket === undefined ? [] : [[region, { region, bucket, available: true, since: now() }]];
      }),
    );
  }

  /** The regions' backup buckets. */
  get buckets(): readonly BucketState[] {
    return [...this.#buckets.values()];
  }

  /**
   * A region's backup bucket answers nothing but 503, or works again with all it had.
   * @throws FaultRefused it does so already
   */
  async breakBucket(region: string, available: boolean): Promise<number> {
    const before = this.#bucketOf(region);
    const { bucket } = before;
    if (before.available === available)
      throw new FaultRefused(`${bucket} ${available ? 'works' : 'answers 503 already'}`);
    await this.#options.order({ what: 'bucket', bucket, available });
    const since = available
      ? this.#tell('bucket', `${bucket} works again`, { mends: true })
      : this.#tell('bucket', `${bucket} answers 503`);
    this.#buckets.set(region, { ...before, available, since });
    return since;
  }

  /** One byte of an object in a region's backup bucket is flipped: of the newest backup's data where none is named. */
  async rot(region: string, key?: string): Promise<{ readonly at: number; readonly key: string }> {
    const { bucket } = this.#bucketOf(region);
    const [rotten = ''] = await this.#options.order({
      what: 'rot',
      bucket,
      ...(key !== undefined && { key }),
    });
    return { at: this.#tell('rot', `one byte of ${bucket}/${rotten} is flipped`), key: rotten };
  }

  /** Payloads are changed in every region under the hash they had; gives the records. */
  async damage(what: Damaged): Promise<{ readonly at: number; readonly records: readonly string[] }> {
    const { table } = this.#options;
    const records = await this.#options.order({ what: 'damage', table, records: recordsIn(what) });
    const more = records.length > NAMED_MAX ? ` and ${records.length - NAMED_MAX} more` : '';
    const why = `payloads changed under their hashes: ${records.slice(0, NAMED_MAX).join(', ')}${more}`;
    return { at: this.#tell('damage', why), records };
  }

  /** The table loses every item in every region, control items too. */
  async wipe(): Promise<number> {
    const { table } = this.#options;
    await this.#options.order({ what: 'wipe', table });
    return this.#tell('wipe', `${table} lost every item in every region`);
  }

  /** Writes records through the first region as its service would have; gives what they were made by. */
  async plantRecords(records: number, planting: Partial<Planting> = {}): Promise<Planting> {
    const { table, regions } = this.#options;
    const whole = { ...PLANTED, ...planting, records };
    checkPlanting(whole);
    await this.#options.order({ what: 'plant', table, region: regions[0] as string, planting: whole });
    return whole;
  }

  #bucketOf(region: string): BucketState {
    const bucket = this.#buckets.get(region);
    if (bucket) return bucket;
    throw new RangeError(
      `a region with a backup bucket is one of ${[...this.#buckets.keys()].join(', ')}, got "${region}"`,
    );
  }

  #tell(what: StorageFault, why: string, rest: { readonly mends?: true } = {}): number {
    const at = this.#options.now();
    this.#options.timeline.add({ type: 'storage', at, what, why, ...rest });
    return at;
  }
}

function recordsIn(what: Damaged): number | readonly RecordKey[] {
  if ('records' in what) {
    if (Number.isInteger(what.records) && what.records >= 1) return what.records;
    throw new RangeError(`records: expected a whole number from 1, got ${what.records}`);
  }
  const [tenant, collection, id, ...rest] = what.record.split('/');
  if (tenant && collection && id && rest.length === 0) return [{ tenant, collection, id }];
  throw new RangeError(`a record is <tenant>/<collection>/<id>, got "${what.record}"`);
}
