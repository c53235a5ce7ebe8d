// What the service depends on of S3, as an ordinary SDK sees it: conditional writes, versions, Object Lock, listings,
// checksums and encryption headers. Runs on whatever answers to S3's API.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3';

export interface S3UnderTest {
  /** In the buckets' region; must be allowed everything. */
  readonly client: S3Client;
  /** Versioned, with Object Lock of some days in governance mode as its default, encrypted with a customer's key. */
  readonly lockedBucket: string;
  /** ARN of that key. */
  readonly keyArn: string;
  /** Neither versioned nor locked. */
  readonly plainBucket: string;
}

/** @param subject is asked for inside the cases */
export function s3Contract(subject: () => S3UnderTest): void {
  const put = (
    key: string,
    body: NonNullable<PutObjectCommandInput['Body']>,
    more: Partial<PutObjectCommandInput> = {},
  ) =>
    subject().client.send(
      new PutObjectCommand({ Bucket: subject().lockedBucket, Key: key, Body: body, ...more }),
    );
  const get = (key: string, VersionId?: string, Bucket = subject().lockedBucket) =>
    subject().client.send(
      new GetObjectCommand({ Bucket, Key: key, ...(VersionId !== undefined && { VersionId }) }),
    );
  const textOf = async (key: string, versionId?: string, bucket?: string) =>
    (await get(key, versionId, bucket)).Body?.transformToString();
  const remove = (key: string, VersionId?: string, Bucket = subject().lockedBucket, bypass = false) =>
    subject().client.send(
      new DeleteObjectCommand({
        Bucket,
        Key: key,
        VersionId,
        ...(bypass && { BypassGovernanceRetention: true }),
      }),
    );
  const keysIn = async (query: object) => {
    const page = await subject().client.send(
      new ListObjectsV2Command({ Bucket: subject().lockedBucket, ...query }),
    );
    return { ...page, keys: (page.Contents ?? []).map(({ Key }) => String(Key)) };
  };
  const fresh = (name: string) => `${name}-${randomBytes(6).toString('hex')}`;
  const refusal = (status: number, name: string) => (error: Error & { $metadata?: object }) => {
    assert.deepEqual(
      [error.name, (error.$metadata as { httpStatusCode?: number }).httpStatusCode],
      [name, status],
    );
    return true;
  };

  describe('writing', () => {
    test('what is put can be read, with its type, metadata and entity tag', async () => {
      const key = fresh('whole');
      const { ETag, VersionId } = await put(key, 'hello', {
        ContentType: 'application/json',
        Metadata: { origin: 'us-east-2' },
      });
      const found = await get(key);
      assert.equal(await found.Body?.transformToString(), 'hello');
      assert.equal(found.ETag, ETag);
      assert.equal(found.VersionId, VersionId);
      assert.equal(found.ContentType, 'application/json');
      assert.equal(found.ContentLength, 5);
      assert.deepEqual(found.Metadata, { origin: 'us-east-2' });
      const head = await subject().client.send(
        new HeadObjectCommand({ Bucket: subject().lockedBucket, Key: key }),
      );
      assert.equal(head.ContentLength, 5);
      assert.equal(head.ETag, ETag);
    });

    test('bytes come back as they were, empty ones too, of a type other services use and from a stream', async () => {
      const bytes = randomBytes(300_000);
      for (const [body, length] of [
        [bytes, bytes.length],
        [Readable.from([bytes.subarray(0, 1_000), bytes.subarray(1_000)]), bytes.length],
        [Buffer.alloc(0), 0],
      ] as const) {
        const key = fresh('bytes');
        await put(key, body, { ContentType: 'application/x-www-form-urlencoded', ContentLength: length });
        const found = await get(key);
        assert.deepEqual(
          Buffer.from((await found.Body?.transformToByteArray()) ?? []),
          bytes.subarray(0, length),
        );
        assert.equal(found.ContentType, 'application/x-www-form-urlencoded');
      }
    });

    test('keys keep every character', async () => {
      const key = fresh('a b/ü+%2F&=?#/(x)\'"~');
      await put(key, 'odd');
      assert.equal(await textOf(key), 'odd');
      assert.deepEqual((await keysIn({ Prefix: key })).keys, [key]);
    });

    test('if-none-match writes once, however many try at the same time', async () => {
      const key = fresh('once');
      const tries = await Promise.allSettled(
        [1, 2, 3, 4, 5].map((n) => put(key, `try ${n}`, { IfNoneMatch: '*' })),
      );
      const refused = tries.filter((outcome) => outcome.status === 'rejected');
      assert.equal(refused.length, 4);
      for (const { reason } of refused) refusal(412, 'PreconditionFailed')(reason);
      const winner = tries.findIndex(({ status }) => status === 'fulfilled') + 1;
      assert.equal(await textOf(key), `try ${winner}`);
      await assert.rejects(put(key, 'later', { IfNoneMatch: '*' }), refusal(412, 'PreconditionFailed'));
    });

    test('if-match writes over exactly what was read', async () => {
      const key = fresh('swap');
      await assert.rejects(put(key, 'x', { IfMatch: '"0"' }), refusal(404, 'NoSuchKey'));
      const { ETag } = await put(key, 'one');
      await put(key, 'two', { IfMatch: String(ETag) });
      await assert.rejects(put(key, 'three', { IfMatch: String(ETag) }), refusal(412, 'PreconditionFailed'));
      assert.equal(await textOf(key), 'two');
    });

    test('content that is not what its checksum says is refused', async () => {
      const sha256 = (text: string) => createHash('sha256').update(text).digest('base64');
      const key = fresh('sum');
      await assert.rejects(put(key, 'hello', { ChecksumSHA256: sha256('other') }), refusal(400, 'BadDigest'));
      await assert.rejects(get(key), refusal(404, 'NoSuchKey'));
      const { ChecksumSHA256 } = await put(key, 'hello', { ChecksumSHA256: sha256('hello') });
      assert.equal(ChecksumSHA256, sha256('hello'));
      const found = await subject().client.send(
        new GetObjectCommand({ Bucket: subject().lockedBucket, Key: key, ChecksumMode: 'ENABLED' }),
      );
      assert.equal(found.ChecksumSHA256, sha256('hello'));
    });

    test('the bucket’s key encrypts, and answers say so', async () => {
      const key = fresh('sealed');
      for (const answer of [await put(key, 'x'), await get(key)])
        assert.partialDeepStrictEqual(answer, {
          ServerSideEncryption: 'aws:kms',
          SSEKMSKeyId: subject().keyArn,
          BucketKeyEnabled: true,
        });
    });

    test('a writer may ask for other encryption than the bucket’s', async () => {
      const key = fresh('by-s3');
      await put(key, 'x', { ServerSideEncryption: 'AES256' });
      const { ServerSideEncryption, SSEKMSKeyId } = await get(key);
      assert.deepEqual([ServerSideEncryption, SSEKMSKeyId], ['AES256', undefined]);
      const by = { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: `${subject().keyArn}0` } as const;
      await assert.rejects(put(key, 'y', by), refusal(400, 'KMS.NotFoundException'));
      assert.equal(await textOf(key), 'x');
    });
  });

  describe('versions', () => {
    test('what is written over stays readable by its version', async () => {
      const key = fresh('twice');
      const first = await put(key, 'one');
      const second = await put(key, 'two');
      assert.notEqual(first.VersionId, second.VersionId);
      assert.equal(await textOf(key), 'two');
      assert.equal(await textOf(key, first.VersionId), 'one');
    });

    test('a delete hides, under a marker; removing the marker shows it again', async () => {
      const key = fresh('hidden');
      const { VersionId: kept } = await put(key, 'x');
      const { DeleteMarker, VersionId: marker } = await remove(key);
      assert.equal(DeleteMarker, true);
      await assert.rejects(get(key), refusal(404, 'NoSuchKey'));
      assert.equal(await textOf(key, kept), 'x');
      await assert.rejects(get(key, marker), refusal(405, 'MethodNotAllowed'));
      assert.deepEqual((await keysIn({ Prefix: key })).keys, []);
      await put(fresh('other'), 'y', { IfNoneMatch: '*' });
      await remove(key, marker);
      assert.equal(await textOf(key), 'x');
      await assert.rejects(get(key, marker), refusal(404, 'NoSuchVersion'));
    });

    test('a hidden key counts as absent for if-none-match', async () => {
      const key = fresh('again');
      const { VersionId } = await put(key, 'one');
      await remove(key);
      await put(key, 'two', { IfNoneMatch: '*' });
      assert.equal(await textOf(key), 'two');
      assert.equal(await textOf(key, VersionId), 'one');
    });

    test('a bucket without versions keeps the last and nothing after a delete', async () => {
      const { plainBucket: Bucket } = subject();
      const key = fresh('plain');
      const { VersionId } = await put(key, 'one', { Bucket });
      assert.equal(VersionId, undefined);
      await put(key, 'two', { Bucket });
      assert.equal(await textOf(key, undefined, Bucket), 'two');
      await remove(key, undefined, Bucket);
      await assert.rejects(get(key, undefined, Bucket), refusal(404, 'NoSuchKey'));
      await remove(key, undefined, Bucket);
    });
  });

  describe('Object Lock', () => {
    const inAnHour = () => new Date(Date.now() + 3_600_000);

    test('a locked version cannot be destroyed, and says until when', async () => {
      const key = fresh('locked');
      const { VersionId } = await put(key, 'x');
      await assert.rejects(remove(key, VersionId), refusal(403, 'AccessDenied'));
      const { ObjectLockMode, ObjectLockRetainUntilDate } = await get(key);
      assert.equal(ObjectLockMode, 'GOVERNANCE');
      assert.ok(Number(ObjectLockRetainUntilDate?.getTime()) > Date.now() + 3_600_000);
      await put(key, 'y');
      assert.equal(await textOf(key, VersionId), 'x');
    });

    test('governance gives way to whoever may and says so, compliance to nobody', async () => {
      const [soft, hard] = [fresh('soft'), fresh('hard')];
      const lock = { ObjectLockRetainUntilDate: inAnHour() };
      const { VersionId: softly } = await put(soft, 'x', { ObjectLockMode: 'GOVERNANCE', ...lock });
      const { VersionId: firmly } = await put(hard, 'x', { ObjectLockMode: 'COMPLIANCE', ...lock });
      await remove(soft, softly, undefined, true);
      await assert.rejects(get(soft), refusal(404, 'NoSuchKey'));
      await assert.rejects(remove(hard, firmly, undefined, true), refusal(403, 'AccessDenied'));
    });

    test('a lock is lengthened after writing; loosening one takes governance and a word', async () => {
      const { client, lockedBucket: Bucket } = subject();
      const days = (count: number) => new Date(Math.floor(Date.now() / 1_000) * 1_000 + count * 86_400_000);
      const lock = (Key: string, Mode: 'GOVERNANCE' | 'COMPLIANCE', until: Date, bypass = false) =>
        client.send(
          new PutObjectRetentionCommand({
            Bucket,
            Key,
            Retention: { Mode, RetainUntilDate: until },
            ...(bypass && { BypassGovernanceRetention: true }),
          }),
        );
      const lockOf = async (Key: string) =>
        (await client.send(new GetObjectRetentionCommand({ Bucket, Key }))).Retention;
      const key = fresh('longer');
      const { VersionId } = await put(key, 'x');
      await lock(key, 'GOVERNANCE', days(30));
      assert.deepEqual(await lockOf(key), { Mode: 'GOVERNANCE', RetainUntilDate: days(30) });
      await assert.rejects(lock(key, 'GOVERNANCE', days(20)), refusal(403, 'AccessDenied'));
      await lock(key, 'GOVERNANCE', days(20), true);
      await lock(key, 'COMPLIANCE', days(21));
      await assert.rejects(lock(key, 'COMPLIANCE', days(20), true), refusal(403, 'AccessDenied'));
      await assert.rejects(lock(key, 'GOVERNANCE', days(40), true), refusal(403, 'AccessDenied'));
      await lock(key, 'COMPLIANCE', days(22));
      await assert.rejects(remove(key, VersionId, undefined, true), refusal(403, 'AccessDenied'));
      await assert.rejects(lockOf(fresh('none')), refusal(404, 'NoSuchKey'));
      const plain = { Bucket: subject().plainBucket, Key: fresh('plain') };
      await put(plain.Key, 'x', plain);
      await assert.rejects(client.send(new GetObjectRetentionCommand(plain)), refusal(400, 'InvalidRequest'));
    });

    test('a lock that is over holds nothing', async () => {
      const key = fresh('over');
      const { VersionId } = await put(key, 'x', {
        ObjectLockMode: 'COMPLIANCE',
        ObjectLockRetainUntilDate: new Date(Date.now() - 1_000),
      });
      await remove(key, VersionId);
      await assert.rejects(get(key, VersionId), refusal(404, 'NoSuchVersion'));
    });

    test('a bucket without Object Lock takes no lock', async () => {
      const put_ = put(fresh('x'), 'x', {
        Bucket: subject().plainBucket,
        ObjectLockMode: 'GOVERNANCE',
        ObjectLockRetainUntilDate: inAnHour(),
      });
      await assert.rejects(put_, refusal(400, 'InvalidRequest'));
    });
  });

  describe('listing', () => {
    test('keys come in the order of their bytes, a page at a time, none twice and none left out', async () => {
      const folder = `${fresh('list')}/`;
      // By locale "a" stands before "B"; by bytes it does not.
      const names = ['B', 'a', 'A/1', 'A/2', 'é', 'a/1', 'z', '~', '0'].map((name) => folder + name);
      for (const name of names) await put(name, name);
      const expected = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      for (const MaxKeys of [1, 2, 4, 9, 10]) {
        const seen: string[] = [];
        let token: string | undefined;
        do {
          const page = await keysIn({ Prefix: folder, MaxKeys, ContinuationToken: token });
          assert.ok(page.keys.length <= MaxKeys);
          assert.equal(page.IsTruncated, page.NextContinuationToken !== undefined);
          seen.push(...page.keys);
          token = page.NextContinuationToken;
        } while (token !== undefined);
        assert.deepEqual(seen, expected, `pages of ${MaxKeys}`);
      }
      const [, second] = expected;
      assert.deepEqual((await keysIn({ Prefix: folder, StartAfter: second })).keys, expected.slice(2));
      const page = await keysIn({ Prefix: folder, Delimiter: '/' });
      assert.deepEqual(
        page.CommonPrefixes?.map(({ Prefix }) => Prefix),
        [`${folder}A/`, `${folder}a/`],
      );
      assert.deepEqual(
        page.keys,
        expected.filter((key) => !key.slice(folder.length).includes('/')),
      );
    });

    test('every version is listed, markers too, the newest of a key first, a page at a time', async () => {
      const { client, lockedBucket: Bucket } = subject();
      const Prefix = `${fresh('versions')}/`;
      const first = await put(`${Prefix}a`, 'one');
      const second = await put(`${Prefix}a`, 'two!');
      const marker = await remove(`${Prefix}a`);
      const other = await put(`${Prefix}b`, 'x');
      for (const MaxKeys of [1, 3, 1_000]) {
        const found: string[] = [];
        let place: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
        for (;;) {
          const page = await client.send(
            new ListObjectVersionsCommand({ Bucket, Prefix, MaxKeys, ...place }),
          );
          const rows = [...(page.DeleteMarkers ?? []), ...(page.Versions ?? [])];
          assert.ok(rows.length <= MaxKeys);
          found.push(...rows.map(({ Key, VersionId, IsLatest }) => `${Key} ${VersionId} ${IsLatest}`));
          if (!page.IsTruncated) break;
          place = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
        }
        assert.deepEqual(found, [
          `${Prefix}a ${marker.VersionId} true`,
          `${Prefix}a ${second.VersionId} false`,
          `${Prefix}a ${first.VersionId} false`,
          `${Prefix}b ${other.VersionId} true`,
        ]);
      }
    });

    test('what is listed says size, entity tag and time', async () => {
      const key = fresh('row');
      const { ETag } = await put(key, 'four');
      const { Contents } = await keysIn({ Prefix: key });
      assert.equal(Contents?.[0]?.Size, 4);
      assert.equal(Contents?.[0]?.ETag, ETag);
      assert.ok(Math.abs(Number(Contents?.[0]?.LastModified) - Date.now()) < 60_000);
    });
  });

  describe('reading', () => {
    test('part of an object, and only when it changed', async () => {
      const key = fresh('part');
      const { ETag } = await put(key, '0123456789');
      const { client, lockedBucket: Bucket } = subject();
      const part = await client.send(new GetObjectCommand({ Bucket, Key: key, Range: 'bytes=2-4' }));
      assert.equal(await part.Body?.transformToString(), '234');
      assert.equal(part.ContentRange, 'bytes 2-4/10');
      await assert.rejects(
        client.send(new GetObjectCommand({ Bucket, Key: key, Range: 'bytes=20-' })),
        refusal(416, 'InvalidRange'),
      );
      const unchanged = client.send(new GetObjectCommand({ Bucket, Key: key, IfNoneMatch: String(ETag) }));
      await assert.rejects(unchanged, (error: { $metadata: { httpStatusCode: number } }) => {
        assert.equal(error.$metadata.httpStatusCode, 304);
        return true;
      });
    });

    test('what does not exist is not found', async () => {
      const { client, lockedBucket: Bucket } = subject();
      await assert.rejects(get(fresh('none')), refusal(404, 'NoSuchKey'));
      await assert.rejects(
        client.send(new HeadObjectCommand({ Bucket, Key: fresh('none') })),
        refusal(404, 'NotFound'),
      );
      await assert.rejects(get('x', undefined, fresh('no-such-bucket')), refusal(404, 'NoSuchBucket'));
      await client.send(new HeadBucketCommand({ Bucket }));
    });
  });
}
