// A versioned bucket in which nothing happens but time: its rules act at every midnight, as S3's do, on keys alone. Years
// pass in seconds, so that what is there on any day can be looked at beforehand.
import { type Action, type Aged, DAY_MS, dueActions, type Rule } from '../aws/s3/lifecycle.ts';

export interface AgedBucketOptions {
  readonly rules: readonly Rule[];
  /** Of every new version that does not ask for longer, in ms. */
  readonly lockMs: number;
  /** Unix ms. */
  readonly beginMs: number;
}

export interface Put {
  readonly atMs: number;
  /** @default 1 MiB */
  readonly bytes?: number;
}

/** Only an operation that time allows: nothing is put before what was put already. */
export class AgedBucket {
  readonly #rules: readonly Rule[];
  readonly #lockMs: number;
  /** By key, the newest first. */
  readonly #versions = new Map<string, Aged[]>();
  #nowMs: number;
  #made = 0;

  constructor({ rules, lockMs, beginMs }: AgedBucketOptions) {
    this.#rules = rules;
    this.#lockMs = lockMs;
    this.#nowMs = beginMs;
  }

  put(key: string, { atMs, bytes = 1024 * 1024 }: Put): void {
    this.age(atMs);
    this.#add(key, { isMarker: false, bytes, lockedUntil: atMs + this.#lockMs });
  }

  /** What a delete without a version does: a marker hides what is there. */
  remove(key: string, atMs: number): void {
    this.age(atMs);
    this.#hide(key);
  }

  /** Extends the lock of the current version. */
  lock(key: string, untilMs: number): void {
    const versions = this.#versions.get(key);
    const [current, ...others] = versions ?? [];
    if (!current || current.isMarker)
      throw new RangeError(`${key}: expected an object to lock, there is none`);
    this.#versions.set(key, [
      { ...current, lockedUntil: Math.max(current.lockedUntil ?? 0, untilMs) },
      ...others,
    ]);
  }

  /** Lets time pass: at every midnight on the way, once, what is due is done. */
  age(untilMs: number): void {
    if (untilMs < this.#nowMs) throw new RangeError(`expected no time before ${this.#nowMs}, got ${untilMs}`);
    for (let midnight = nextMidnight(this.#nowMs); midnight <= untilMs; midnight += DAY_MS) {
      this.#nowMs = midnight;
      for (const [key, versions] of [...this.#versions])
        for (const action of dueActions(this.#rules, key, versions, midnight)) this.#act(key, action);
    }
    this.#nowMs = untilMs;
  }

  /** Keys that a reader finds, with the storage class of each. */
  current(): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const [key, [version]] of this.#versions)
      if (version && !version.isMarker) found.set(key, version.storageClass);
    return found;
  }

  /** Of every key, its versions and delete markers, the newest first. */
  versions(): ReadonlyMap<string, readonly Aged[]> {
    return this.#versions;
  }

  /** Versions that are paid for, hidden ones too, and delete markers. */
  counts(): { readonly versions: number; readonly markers: number } {
    const all = [...this.#versions.values()].flat();
    const markers = all.filter(({ isMarker }) => isMarker).length;
    return { versions: all.length - markers, markers };
  }

  #act(key: string, action: Action): void {
    if (action.kind === 'expire') {
      this.#hide(key);
      return;
    }
    const versions = this.#versions.get(key) ?? [];
    const left =
      action.kind === 'remove'
        ? versions.filter(({ id }) => id !== action.versionId)
        : versions.map((it) =>
            it.id === action.versionId ? { ...it, storageClass: action.storageClass } : it,
          );
    if (left.length === 0) this.#versions.delete(key);
    else this.#versions.set(key, left);
  }

  #hide(key: string): void {
    this.#add(key, { isMarker: true, bytes: 0, lockedUntil: undefined });
  }

  #add(key: string, version: Pick<Aged, 'isMarker' | 'bytes' | 'lockedUntil'>): void {
    this.#made += 1;
    const added: Aged = {
      ...version,
      id: String(this.#made),
      modifiedAt: this.#nowMs,
      storageClass: 'STANDARD',
    };
    this.#versions.set(key, [added, ...(this.#versions.get(key) ?? [])]);
  }
}

function nextMidnight(ms: number): number {
  return (Math.floor(ms / DAY_MS) + 1) * DAY_MS;
}
