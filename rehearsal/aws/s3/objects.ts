// The objects of one bucket: which versions a key has, which of them is current, which may not be destroyed yet. Writes
// of one key go one after another, so that a condition holds when its write lands. What versions contain is kept apart
// (contents.ts).
import { randomBytes } from 'node:crypto';
import type { Bucket, Retention } from './buckets.ts';
import type { Contents, Stored } from './contents.ts';
import { s3Error } from './errors.ts';
import { type Aged, dueActions } from './lifecycle.ts';

/** What a version is encrypted with. */
export interface Encryption {
  /** ARN of a customer's key; undefined where a key of AWS's own encrypts. */
  readonly keyArn: string | undefined;
  readonly algorithm: 'AES256' | 'aws:kms';
  readonly bucketKey: boolean;
}

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
  readonly encryption: Encryption;
  readonly storageClass: string;
  /** What answers say of content that rotted: entity tag and checksums as they were before. */
  readonly remembered: Readonly<Record<string, string>> | undefined;
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
  readonly encryption: Encryption;
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

/** Every version of every key, markers too. */
export interface VersionsPage {
  readonly versions: readonly {
    readonly key: string;
    readonly version: ObjectVersion;
    readonly isLatest: boolean;
  }[];
  /** Where the next page begins; undefined after the last. */
  readonly next: { readonly key: string; readonly versionId: string } | undefined;
}

export interface ListQuery {
  readonly prefix: string;
  readonly delimiter: string | undefined;
  /** The page begins after it. */
  readonly after: string;
  readonly max: number;
}

/** Of a PUT, what describes the content and comes back with it. */
export const DESCRIBING =
  /^(x-amz-meta-.+|cache-control|content-disposition|content-encoding|content-language)$/;
/** What S3 says of content by itself. */
const SAID = /^(etag|last-modified|x-amz-checksum-.+)$/;
const STANDARD = 'STANDARD';

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
        encryption: put.encryption,
        storageClass: STANDARD,
        remembered: undefined,
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
      if (versionId === undefined && this.#bucket.versioned) return this.#add(key, marker(this.#now()));
      const version = this.find(key, versionId);
      if (!version) return undefined;
      const { lock } = version;
      if (lock && lock.until > this.#now() && !(bypass && lock.mode === 'GOVERNANCE'))
        throw s3Error(403, 'AccessDenied', 'Access Denied because object protected by object lock.');
      await this.#drop(key, version);
      return version;
    });
  }

  /**
   * Locks a version until then, in place of the lock it has.
   * @param bypass lets a lock in governance mode be shortened or changed, as whoever may do that asked for
   * @throws ServiceError AccessDenied, the lock it has would be loosened
   */
  lock(key: string, version: ObjectVersion, lock: Lock, bypass: boolean): Promise<void> {
    return this.#inTurn(key, async () => {
      const held = this.find(key, version.id)?.lock;
      const isHeld = held !== undefined && held.until > this.#now();
      const isLoosened =
        isHeld && (lock.until < held.until || (held.mode === 'COMPLIANCE' && lock.mode !== held.mode));
      if (isLoosened && !(bypass && held.mode === 'GOVERNANCE'))
        throw s3Error(403, 'AccessDenied', 'Access Denied because object protected by object lock.');
      this.#replace(key, version.id, (found) => ({ ...found, lock }));
    });
  }

  /**
   * Does what the bucket's lifecycle rules have due at a time, for every key.
   * @param nowMs a midnight, Unix ms
   */
  async expire(nowMs: number): Promise<void> {
    const { lifecycle } = this.#bucket;
    if (lifecycle.length === 0) return;
    for (const key of [...this.#versions.keys()]) await this.#inTurn(key, () => this.#expireKey(key, nowMs));
  }

  /**
   * Flips every bit of one byte of a version's content, behind S3's back: what is said of it stays as it was.
   * @param at which byte
   * @throws RangeError there is no such version, or no such byte in it
   */
  rot(key: string, versionId: string | undefined, at: number): Promise<void> {
    return this.#inTurn(key, async () => {
      const version = this.find(key, versionId);
      const before =
        version?.contentId === undefined
          ? undefined
          : await this.#contents.read('GET', version.contentId, { 'x-amz-checksum-mode': 'ENABLED' });
      const byte = before?.body[at];
      if (!version || !before || byte === undefined)
        throw new RangeError(`${this.#bucket.name}/${key}: there is no byte ${at} to flip`);
      const content = Buffer.from(before.body);
      content[at] = byte ^ 0xff;
      const described = Object.entries(before.headers).filter(([name]) => DESCRIBING.test(name));
      const contentId = newVersionId();
      await this.#contents.put(contentId, Object.fromEntries(described), content);
      const said = Object.entries(before.headers).filter(([name]) => SAID.test(name));
      const remembered = version.remembered ?? Object.fromEntries(said);
      this.#replace(key, version.id, (found) => ({ ...found, contentId, remembered }));
      await this.#contents.remove(String(version.contentId));
    });
  }

  /** Every version from a place on, in the order of the keys' bytes, the newest of a key first. */
  listVersions(
    prefix: string,
    after: { readonly key: string; readonly versionId: string | undefined },
    max: number,
  ): VersionsPage {
    const all = sorted([...this.#versions.keys()].filter((key) => key.startsWith(prefix))).flatMap((key) =>
      (this.#versions.get(key) ?? []).map((version, at) => ({ key, version, isLatest: at === 0 })),
    );
    const isPast = ({ key }: { key: string }) => compareBytes(key, after.key) > 0;
    const mark = all.findIndex(({ key, version }) => key === after.key && version.id === after.versionId);
    const start = mark >= 0 ? mark + 1 : all.findIndex(isPast);
    const rest = after.key === '' ? all : start < 0 ? [] : all.slice(start);
    const versions = rest.slice(0, max);
    const last = rest.length > max ? versions.at(-1) : undefined;
    return { versions, next: last && { key: last.key, versionId: last.version.id } };
  }

  /** Current versions in the order of their keys' UTF-8 bytes. */
  list({ prefix, delimiter, after, max }: ListQuery): Page {
    const keys = sorted(
      [...this.#versions.keys()].filter((key) => key.startsWith(prefix) && this.#current(key)),
    );
    const objects: (readonly [string, ObjectVersion])[] = [];
    const folders = new Set<string>();
    let last: string | undefined;
    for (const key of keys) {
      const cut = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      const folder = cut < 0 || !delimiter ? undefined : key.slice(0, cut + delimiter.length);
      const name = folder ?? key;
      if (compareBytes(name, after) <= 0 || folders.has(name)) continue;
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

  async #expireKey(key: string, nowMs: number): Promise<void> {
    const versions = (this.#versions.get(key) ?? []).map(agedOf);
    for (const action of dueActions(this.#bucket.lifecycle, key, versions, nowMs)) {
      const version = this.find(key, action.kind === 'expire' ? undefined : action.versionId);
      if (!version) continue;
      if (action.kind === 'transition')
        this.#replace(key, version.id, (found) => ({ ...found, storageClass: action.storageClass }));
      else if (action.kind === 'expire' && this.#bucket.versioned) await this.#add(key, marker(nowMs));
      else await this.#drop(key, version);
    }
  }

  #replace(key: string, versionId: string, change: (version: ObjectVersion) => ObjectVersion): void {
    const versions = this.#versions.get(key) ?? [];
    this.#versions.set(
      key,
      versions.map((version) => (version.id === versionId ? change(version) : version)),
    );
  }

  async #drop(key: string, version: ObjectVersion): Promise<void> {
    const left = (this.#versions.get(key) ?? []).filter((other) => other !== version);
    if (left.length > 0) this.#versions.set(key, left);
    else this.#versions.delete(key);
    if (version.contentId !== undefined) await this.#contents.remove(version.contentId);
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

/** A delete marker: no content, so nothing that is said of it means anything. */
function marker(modifiedAt: number): ObjectVersion {
  return {
    id: newVersionId(),
    contentId: undefined,
    etag: '',
    bytes: 0,
    contentType: '',
    modifiedAt,
    lock: undefined,
    encryption: { keyArn: undefined, algorithm: 'AES256', bucketKey: false },
    storageClass: STANDARD,
    remembered: undefined,
  };
}

function agedOf({ id, contentId, bytes, modifiedAt, lock, storageClass }: ObjectVersion): Aged {
  return { id, isMarker: contentId === undefined, bytes, modifiedAt, lockedUntil: lock?.until, storageClass };
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function sorted(keys: readonly string[]): readonly string[] {
  return keys.toSorted(compareBytes);
}

export function noSuchKey(headers?: Readonly<Record<string, string>>) {
  return s3Error(404, 'NoSuchKey', 'The specified key does not exist.', headers);
}

/** As S3 makes them: 32 characters that say nothing. */
function newVersionId(): string {
  return randomBytes(24).toString('base64url');
}
