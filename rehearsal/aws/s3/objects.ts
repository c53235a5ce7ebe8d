// The objects of one bucket: which versions a key has, which of them is current, which may not be destroyed yet. Writes
// of one key go one after another, so that a condition holds when its write lands. What versions contain is kept apart
// (contents.ts).
import { randomBytes } from 'node:crypto';
import type { Bucket, Retention } from './buckets.ts';
import type { Contents, Stored } from './contents.ts';
import { s3Error } from './errors.ts';

export interface ObjectVersion {
  /** `null` in a bucket without versions. */
  readonly id: string;
  /** Name of its content; undefined for a delete marker. */
  readonly contentId: string | undefined;
  readonly etag: string;
  readonly bytes: number;
  readonly contentType: string;
  /** Unix ms. */
  readonly modifiedAt: number;
  readonly lock: Lock | undefined;
}

export interface Lock {
  readonly mode: Retention['mode'];
  /** Unix ms. */
  readonly until: number;
}

export interface Put {
  readonly content: Buffer;
  readonly contentType: string;
  /** What else describes the content. */
  readonly headers: Readonly<Record<string, string>>;
  /** Instead of the bucket's own. */
  readonly lock: Lock | undefined;
  /** `*` writes only where no current version is. */
  readonly ifNoneMatch: '*' | undefined;
  /** Writes only over the current version with this entity tag. */
  readonly ifMatch: string | undefined;
}

export interface Page {
  readonly objects: readonly (readonly [key: string, version: ObjectVersion])[];
  /** Keys that go on after the delimiter, cut off there. */
  readonly folders: readonly string[];
  /** Where the next page begins; undefined after the last. */
  readonly next: string | undefined;
}

export interface ListQuery {
  readonly prefix: string;
  readonly delimiter: string | undefined;
  /** The page begins after it. */
  readonly after: string;
  readonly max: number;
}

export class BucketObjects {
  readonly #bucket: Bucket;
  readonly #contents: Contents;
  readonly #now: () => number;
  /** By key, newest first; never empty. */
  readonly #versions = new Map<string, ObjectVersion[]>();
  readonly #writing = new Map<string, Promise<unknown>>();

  /** @param now Unix ms */
  constructor(bucket: Bucket, contents: Contents, now: () => number) {
    this.#bucket = bucket;
    this.#contents = contents;
    this.#now = now;
  }

  /** The version with this id, or the current one; a delete marker too. */
  find(key: string, versionId: string | undefined): ObjectVersion | undefined {
    const versions = this.#versions.get(key);
    return versionId === undefined ? versions?.[0] : versions?.find(({ id }) => id === versionId);
  }

  /** @throws ServiceError a condition does not hold: then nothing was written */
  put(key: string, put: Put): Promise<{ version: ObjectVersion; stored: Stored }> {
    return this.#inTurn(key, async () => {
      const current = this.#current(key);
      if (
        (put.ifNoneMatch && current) ||
        (put.ifMatch !== undefined && current && current.etag !== put.ifMatch)
      )
        throw s3Error(
          412,
          'PreconditionFailed',
          'At least one of the pre-conditions you specified did not hold',
        );
      if (put.ifMatch !== undefined && !current) throw noSuchKey();
      const contentId = newVersionId();
      const stored = await this.#contents.put(contentId, put.headers, put.content);
      const { retention, versioned } = this.#bucket;
      const modifiedAt = this.#now();
      const version: ObjectVersion = {
        id: versioned ? contentId : 'null',
        contentId,
        etag: String(stored.headers['etag']),
        bytes: put.content.length,
        contentType: put.contentType,
        modifiedAt,
        lock: put.lock ?? (retention && { mode: retention.mode, until: modifiedAt + retention.ms }),
      };
      await this.#add(key, version);
      return { version, stored };
    });
  }

  /**
   * Without a version id: what the key had stays, under a delete marker; in a bucket without versions it goes.
   * @param bypass lifts a lock in governance mode, as whoever may do that asked for
   * @returns the marker made, or the version that is gone; undefined when there was nothing to do
   * @throws ServiceError AccessDenied, the version is locked
   */
  remove(key: string, versionId: string | undefined, bypass: boolean): Promise<ObjectVersion | undefined> {
    return this.#inTurn(key, async () => {
      if (versionId === undefined && this.#bucket.versioned) return this.#add(key, this.#marker());
      const version = this.find(key, versionId);
      if (!version) return undefined;
      const { lock } = version;
      if (lock && lock.until > this.#now() && !(bypass && lock.mode === 'GOVERNANCE'))
        throw s3Error(403, 'AccessDenied', 'Access Denied because object protected by object lock.');
      const left = (this.#versions.get(key) ?? []).filter((other) => other !== version);
      if (left.length > 0) this.#versions.set(key, left);
      else this.#versions.delete(key);
      if (version.contentId !== undefined) await this.#contents.remove(version.contentId);
      return version;
    });
  }

  /** Current versions in the order of their keys' UTF-8 bytes. */
  list({ prefix, delimiter, after, max }: ListQuery): Page {
    const keys = [...this.#versions.keys()]
      .filter((key) => key.startsWith(prefix) && this.#current(key))
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const objects: (readonly [string, ObjectVersion])[] = [];
    const folders = new Set<string>();
    let last: string | undefined;
    for (const key of keys) {
      const cut = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      const folder = cut < 0 || !delimiter ? undefined : key.slice(0, cut + delimiter.length);
      const name = folder ?? key;
      if (Buffer.compare(Buffer.from(name), Buffer.from(after)) <= 0 || folders.has(name)) continue;
      if (objects.length + folders.size >= max) return { objects, folders: [...folders], next: last };
      last = name;
      const current = this.#current(key);
      if (folder !== undefined) folders.add(folder);
      else if (current) objects.push([key, current]);
    }
    return { objects, folders: [...folders], next: undefined };
  }

  #current(key: string): ObjectVersion | undefined {
    const newest = this.#versions.get(key)?.[0];
    return newest?.contentId === undefined ? undefined : newest;
  }

  async #add(key: string, version: ObjectVersion): Promise<ObjectVersion> {
    const others = this.#versions.get(key) ?? [];
    this.#versions.set(key, this.#bucket.versioned ? [version, ...others] : [version]);
    if (!this.#bucket.versioned)
      for (const { contentId } of others) if (contentId !== undefined) await this.#contents.remove(contentId);
    return version;
  }

  #marker(): ObjectVersion {
    return {
      id: newVersionId(),
      contentId: undefined,
      etag: '',
      bytes: 0,
      contentType: '',
      modifiedAt: this.#now(),
      lock: undefined,
    };
  }

  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#writing.get(key);
    const mine = (before ?? Promise.resolve()).then(work, work);
    this.#writing.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#writing.get(key) === mine) this.#writing.delete(key);
    }
  }
}

export function noSuchKey(headers?: Readonly<Record<string, string>>) {
  return s3Error(404, 'NoSuchKey', 'The specified key does not exist.', headers);
}

/** As S3 makes them: 32 characters that say nothing. */
function newVersionId(): string {
  return randomBytes(24).toString('base64url');
}
