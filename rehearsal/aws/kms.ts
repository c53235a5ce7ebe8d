// KMS over the keys of the templates: real AES-GCM under material that never leaves this process and that the replicas
// of a multi-Region key share, so that what one region encrypts another can decrypt. A key can be switched off.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Resource } from '../assembly/assembly.ts';
import type { PolicySource, ResourcePolicy } from './iam.ts';
import { type Access, readPolicy, type Statement } from './iam-policy.ts';
import { commonError, ServiceError, validationError } from './service-error.ts';

type Json = Readonly<Record<string, unknown>>;

export interface KmsCall {
  /** E.g. `Decrypt`. */
  readonly operation: string;
  readonly input: Json;
  /** The region whose endpoint is called. */
  readonly region: string;
  /** @throws {ServiceError} AccessDeniedException */
  readonly authorize: (access: Access) => void;
}

interface Key {
  readonly id: string;
  readonly arn: string;
  readonly region: string;
  readonly policy: readonly Statement[];
  readonly multiRegion: boolean;
  readonly primaryArn: string;
  enabled: boolean;
}

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html */
const PLAINTEXT_BYTES_MAX = 4_096;
/** https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html */
const DATA_KEY_BYTES_MAX = 1_024;

export class Kms {
  readonly #account: string;
  readonly #keys: readonly Key[];
  /** By alias and region. */
  readonly #aliases: ReadonlyMap<string, string>;
  /** By key id, which the replicas of a multi-Region key share. */
  readonly #material: ReadonlyMap<string, Buffer>;

  constructor(source: PolicySource) {
    this.#account = source.account;
    this.#keys = [...source.ofType('AWS::KMS::Key'), ...source.ofType('AWS::KMS::ReplicaKey')].map(readKey);
    this.#material = new Map(this.#keys.map(({ id }) => [id, randomBytes(32)]));
    this.#aliases = new Map(
      source
        .ofType('AWS::KMS::Alias')
        .map(({ region, properties }) => [
          `${region} ${String(properties['AliasName'])}`,
          String(properties['TargetKeyId']),
        ]),
    );
  }

  /** The policy of a key; undefined for what is no key of ours. */
  policyOf(arn: string): ResourcePolicy | undefined {
    const key = this.#keys.find((each) => each.arn === arn);
    return key && { statements: key.policy, mustAllow: true };
  }

  /** What is known of a key by its ARN. */
  stateOf(arn: string): 'enabled' | 'disabled' | 'missing' {
    const key = this.#keys.find((each) => each.arn === arn);
    if (!key) return 'missing';
    return key.enabled ? 'enabled' : 'disabled';
  }

  /** Switches a region's keys off, or on again: off, they answer DisabledException. */
  setEnabled(region: string, enabled: boolean): void {
    for (const key of this.#keys) if (key.region === region) key.enabled = enabled;
  }

  /** @throws {ServiceError} whatever KMS answers */
  async call(call: KmsCall): Promise<Record<string, unknown>> {
    switch (call.operation) {
      case 'GenerateDataKey':
        return this.#generateDataKey(call);
      case 'Encrypt':
        return this.#encrypt(call);
      case 'Decrypt':
        return this.#decrypt(call);
      case 'DescribeKey':
        return this.#describe(call);
      default:
        throw commonError(
          400,
          'UnknownOperationException',
          `The rehearsal does not play kms:${call.operation}; it plays GenerateDataKey, Encrypt, Decrypt, DescribeKey`,
        );
    }
  }

  #generateDataKey(call: KmsCall): Record<string, unknown> {
    const { KeySpec: spec, NumberOfBytes: bytes } = call.input;
    const size = bytes ?? { AES_256: 32, AES_128: 16 }[String(spec)];
    if (!Number.isInteger(size) || Number(size) < 1 || Number(size) > DATA_KEY_BYTES_MAX || (spec && bytes))
      throw validationError('Please specify either number of bytes or key spec.');
    const key = this.#usable(call, this.#find(call));
    const plaintext = randomBytes(Number(size));
    return {
      KeyId: key.arn,
      Plaintext: plaintext.toString('base64'),
      CiphertextBlob: this.#seal(key, plaintext, call.input['EncryptionContext']).toString('base64'),
    };
  }

  #encrypt(call: KmsCall): Record<string, unknown> {
    const plaintext = Buffer.from(String(call.input['Plaintext'] ?? ''), 'base64');
    if (plaintext.length < 1 || plaintext.length > PLAINTEXT_BYTES_MAX)
      throw validationError(
        `Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and ${PLAINTEXT_BYTES_MAX}, got ${plaintext.length}`,
      );
    const key = this.#usable(call, this.#find(call));
    const sealed = this.#seal(key, plaintext, call.input['EncryptionContext']);
    return {
      KeyId: key.arn,
      CiphertextBlob: sealed.toString('base64'),
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    };
  }

  #decrypt(call: KmsCall): Record<string, unknown> {
    const blob = Buffer.from(String(call.input['CiphertextBlob'] ?? ''), 'base64');
    const idBytes = blob[0] ?? 0;
    const id = blob.subarray(1, 1 + idBytes).toString('utf8');
    if (blob.length < 1 + idBytes + IV_BYTES + TAG_BYTES) throw refusal('InvalidCiphertextException', '');
    const sealedUnder = this.#keys.find((key) => key.id === id && key.region === call.region);
    if (!sealedUnder)
      throw commonError(
        400,
        'AccessDeniedException',
        'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
      );
    const key = this.#usable(call, sealedUnder);
    if (call.input['KeyId'] !== undefined && this.#find(call) !== key)
      throw refusal(
        'IncorrectKeyException',
        'The key ID in the request does not identify a CMK that can perform this operation.',
      );
    const plaintext = this.#open(key, blob.subarray(1 + idBytes), call.input['EncryptionContext']);
    return {
      KeyId: key.arn,
      Plaintext: plaintext.toString('base64'),
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
    };
  }

  #describe(call: KmsCall): Record<string, unknown> {
    const key = this.#find(call);
    this.#authorize(call, key);
    const replicas = this.#keys.filter(({ id, arn }) => id === key.id && arn !== key.primaryArn);
    return {
      KeyMetadata: {
        AWSAccountId: this.#account,
        KeyId: key.id,
        Arn: key.arn,
        Enabled: key.enabled,
        KeyState: key.enabled ? 'Enabled' : 'Disabled',
        KeyUsage: 'ENCRYPT_DECRYPT',
        KeySpec: 'SYMMETRIC_DEFAULT',
        Origin: 'AWS_KMS',
        KeyManager: 'CUSTOMER',
        MultiRegion: key.multiRegion,
        ...(key.multiRegion && {
          MultiRegionConfiguration: {
            MultiRegionKeyType: key.arn === key.primaryArn ? 'PRIMARY' : 'REPLICA',
            PrimaryKey: { Arn: key.primaryArn, Region: key.primaryArn.split(':')[3] },
            ReplicaKeys: replicas.map(({ arn, region }) => ({ Arn: arn, Region: region })),
          },
        }),
      },
    };
  }

  /** By id, ARN, alias or alias ARN, in the region called. */
  #find({ input, region }: KmsCall): Key {
    const given = String(input['KeyId'] ?? '');
    const name = given.includes(':alias/') ? given.slice(given.indexOf(':alias/') + 1) : given;
    const target = name.startsWith('alias/') ? this.#aliases.get(`${region} ${name}`) : given;
    const key = this.#keys.find(
      ({ id, arn, region: at }) => at === region && (arn === target || id === target),
    );
    if (key) return key;
    throw refusal('NotFoundException', `Key '${given}' does not exist`);
  }

  #authorize({ operation, input, authorize }: KmsCall, key: Key): void {
    const context = Object.entries((input['EncryptionContext'] ?? {}) as Json).map(
      ([name, value]) => [`kms:EncryptionContext:${name}`, String(value)] as const,
    );
    authorize({ action: `kms:${operation}`, resource: key.arn, context: Object.fromEntries(context) });
  }

  #usable(call: KmsCall, key: Key): Key {
    this.#authorize(call, key);
    if (key.enabled) return key;
    throw refusal('DisabledException', `${key.arn} is disabled.`);
  }

  /** Length and text of the key id, nonce, tag, ciphertext. */
  #seal({ id }: Key, plaintext: Buffer, context: unknown): Buffer {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#material.get(id) as Buffer, iv).setAAD(boundTo(context));
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return Buffer.concat([Buffer.from([id.length]), Buffer.from(id), iv, cipher.getAuthTag(), ciphertext]);
  }

  #open({ id }: Key, sealed: Buffer, context: unknown): Buffer {
    const tagAt = IV_BYTES + TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, this.#material.get(id) as Buffer, sealed.subarray(0, IV_BYTES))
      .setAAD(boundTo(context))
      .setAuthTag(sealed.subarray(IV_BYTES, tagAt));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(tagAt)), decipher.final()]);
    } catch (error) {
      throw refusal('InvalidCiphertextException', '', error);
    }
  }
}

function readKey({ type, arn, physicalId, region, logicalId, properties }: Resource): Key {
  if (arn === undefined) throw new TypeError(`${logicalId}: expected an ARN, got none`);
  const isReplica = type === 'AWS::KMS::ReplicaKey';
  return {
    id: physicalId,
    arn,
    region,
    policy: readPolicy(properties['KeyPolicy'], `${logicalId}/KeyPolicy`),
    multiRegion: isReplica || properties['MultiRegion'] === true,
    primaryArn: isReplica ? String(properties['PrimaryKeyArn']) : arn,
    enabled: properties['Enabled'] !== false,
  };
}

/** The encryption context, whatever the order it came in. */
function boundTo(context: unknown): Buffer {
  return Buffer.from(
    JSON.stringify(Object.entries((context ?? {}) as Json).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}

function refusal(name: string, message: string, cause?: unknown): ServiceError {
  return new ServiceError(400, { __type: name, message }, { cause });
}
