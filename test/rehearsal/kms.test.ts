import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Kms } from '../../rehearsal/aws/kms.ts';
import { deploymentOf, KEY_ID, keyArn, keys, PRIMARY, QUORUM, STANDBY } from './fake-deployment.ts';

const open = () => new Kms(deploymentOf(...keys()));
const authorize = () => {};
const base64 = (text: string) => Buffer.from(text).toString('base64');

function call(kms: Kms, operation: string, input: Record<string, unknown>, region: string = PRIMARY) {
  return kms.call({ operation, input, region, authorize });
}

describe('encryption', () => {
  test('what one region encrypts, every region with a replica of the key decrypts', async () => {
    const kms = open();
    const { CiphertextBlob } = await call(kms, 'Encrypt', { KeyId: KEY_ID, Plaintext: base64('secret') });
    for (const region of [PRIMARY, STANDBY, QUORUM]) {
      const { Plaintext, KeyId } = await call(kms, 'Decrypt', { CiphertextBlob }, region);
      assert.equal(Plaintext, base64('secret'));
      assert.equal(KeyId, keyArn(region));
    }
  });

  test('a data key comes in plain and sealed', async () => {
    const kms = open();
    const { Plaintext, CiphertextBlob, KeyId } = await call(kms, 'GenerateDataKey', {
      KeyId: KEY_ID,
      KeySpec: 'AES_256',
    });
    assert.equal(Buffer.from(String(Plaintext), 'base64').length, 32);
    assert.equal(KeyId, keyArn(PRIMARY));
    assert.equal(
      (await call(kms, 'Decrypt', { CiphertextBlob, KeyId: keyArn(PRIMARY) }))['Plaintext'],
      Plaintext,
    );
    const short = await call(kms, 'GenerateDataKey', { KeyId: KEY_ID, NumberOfBytes: 7 });
    assert.equal(Buffer.from(String(short['Plaintext']), 'base64').length, 7);
  });

  test('a data key of no size or an impossible one is refused', async () => {
    for (const size of [
      {},
      { NumberOfBytes: 0 },
      { NumberOfBytes: 1_025 },
      { KeySpec: 'AES_256', NumberOfBytes: 32 },
    ])
      await assert.rejects(call(open(), 'GenerateDataKey', { KeyId: KEY_ID, ...size }), {
        name: 'ValidationException',
      });
  });

  test('nothing decrypts that was changed, or with another encryption context', async () => {
    const kms = open();
    const context = { tenant: 'acme', app: 'eden' };
    const { CiphertextBlob } = await call(kms, 'Encrypt', {
      KeyId: KEY_ID,
      Plaintext: base64('x'),
      EncryptionContext: context,
    });
    const reordered = { app: 'eden', tenant: 'acme' };
    await call(kms, 'Decrypt', { CiphertextBlob, EncryptionContext: reordered });
    const blob = Buffer.from(String(CiphertextBlob), 'base64');
    blob[blob.length - 1] = (blob.at(-1) ?? 0) ^ 1;
    for (const input of [
      { CiphertextBlob, EncryptionContext: { tenant: 'evil' } },
      { CiphertextBlob },
      { CiphertextBlob: blob.toString('base64'), EncryptionContext: context },
      { CiphertextBlob: base64('short') },
      { CiphertextBlob: '' },
    ])
      await assert.rejects(call(kms, 'Decrypt', input), { name: /InvalidCiphertext|AccessDenied/ });
  });

  test('plaintext of no length or over 4096 bytes is refused', async () => {
    for (const size of [0, 4_097])
      await assert.rejects(call(open(), 'Encrypt', { KeyId: KEY_ID, Plaintext: base64('x'.repeat(size)) }), {
        name: 'ValidationException',
      });
    await call(open(), 'Encrypt', { KeyId: KEY_ID, Plaintext: base64('x'.repeat(4_096)) });
  });
});

describe('keys', () => {
  test('are found by id, ARN and alias, in their own region only', async () => {
    const kms = open();
    for (const id of [
      KEY_ID,
      keyArn(STANDBY),
      'alias/eden',
      `arn:aws:kms:${STANDBY}:000000000000:alias/eden`,
    ]) {
      const { KeyMetadata } = await call(kms, 'DescribeKey', { KeyId: id }, STANDBY);
      assert.equal((KeyMetadata as { Arn: string }).Arn, keyArn(STANDBY));
    }
    for (const id of ['nope', keyArn(PRIMARY), 'alias/nope', ''])
      await assert.rejects(call(kms, 'DescribeKey', { KeyId: id }, STANDBY), { name: 'NotFoundException' });
    await assert.rejects(call(kms, 'DescribeKey', { KeyId: KEY_ID }, 'eu-west-1'), {
      name: 'NotFoundException',
    });
  });

  test('say what they are', async () => {
    const { KeyMetadata } = await call(open(), 'DescribeKey', { KeyId: KEY_ID }, QUORUM);
    const { KeyState, MultiRegion, MultiRegionConfiguration } = KeyMetadata as Record<string, unknown>;
    assert.deepEqual([KeyState, MultiRegion], ['Enabled', true]);
    assert.deepEqual(MultiRegionConfiguration, {
      MultiRegionKeyType: 'REPLICA',
      PrimaryKey: { Arn: keyArn(PRIMARY), Region: PRIMARY },
      ReplicaKeys: [STANDBY, QUORUM].map((region) => ({ Arn: keyArn(region), Region: region })),
    });
  });

  test('switched off in one region, answer DisabledException there and nowhere else, until switched on', async () => {
    const kms = open();
    const { CiphertextBlob } = await call(kms, 'Encrypt', { KeyId: KEY_ID, Plaintext: base64('x') });
    kms.setEnabled(PRIMARY, false);
    const disabled = { name: 'DisabledException', message: `${keyArn(PRIMARY)} is disabled.` };
    await assert.rejects(call(kms, 'Decrypt', { CiphertextBlob }), disabled);
    await assert.rejects(call(kms, 'GenerateDataKey', { KeyId: KEY_ID, KeySpec: 'AES_256' }), disabled);
    await call(kms, 'DescribeKey', { KeyId: KEY_ID });
    await call(kms, 'Decrypt', { CiphertextBlob }, STANDBY);
    kms.setEnabled(PRIMARY, true);
    await call(kms, 'Decrypt', { CiphertextBlob });
  });

  test('ask for permission by action, key and encryption context before anything else', async () => {
    const asked: unknown[] = [];
    const refuse = () => {
      throw new Error('refused');
    };
    const kms = open();
    const input = { KeyId: KEY_ID, Plaintext: base64('x'), EncryptionContext: { tenant: 'acme' } };
    await kms.call({
      operation: 'Encrypt',
      input,
      region: PRIMARY,
      authorize: (access) => asked.push(access),
    });
    assert.deepEqual(asked, [
      {
        action: 'kms:Encrypt',
        resource: keyArn(PRIMARY),
        context: { 'kms:EncryptionContext:tenant': 'acme' },
      },
    ]);
    kms.setEnabled(PRIMARY, false);
    await assert.rejects(
      kms.call({ operation: 'Encrypt', input, region: PRIMARY, authorize: refuse }),
      /refused/,
    );
  });

  test('refuse what is not played, naming what is', async () => {
    await assert.rejects(
      call(open(), 'CreateKey', {}),
      /does not play kms:CreateKey; it plays GenerateDataKey/,
    );
  });
});
