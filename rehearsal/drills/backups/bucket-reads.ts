// Objects of the backup buckets, read as an operator would: plain signed requests.
import { Agent } from 'node:http';
import { type BackupVerdict, parseBackupVerdict } from '../../../protocol/backup-verdicts.ts';
import { VERDICT_FILE } from '../../../protocol/backups.ts';
import { credentialsOf, OPERATOR } from '../../aws/credentials.ts';
import { signed } from '../../aws/signature.ts';
import { getPlainly } from '../plain-http.ts';
import { DrillError, type StoredSystem } from '../system.ts';

const TIMEOUT_MS = 30_000;

export class BucketReads {
  readonly #endpoint: string;
  /** By Region. */
  readonly #buckets: ReadonlyMap<string, string>;
  readonly #agent = new Agent({ keepAlive: true });

  constructor({ table, state }: Pick<StoredSystem, 'table' | 'state'>) {
    this.#endpoint = table.endpoint;
    this.#buckets = new Map(state().buckets.map(({ region, bucket }) => [region, bucket]));
  }

  /** Primary, standby, quorum. */
  get regions(): readonly string[] {
    return [...this.#buckets.keys()];
  }

  /** Undefined when there is none. @throws DrillError the bucket does not answer */
  async text(region: string, key: string): Promise<string | undefined> {
    const path = `/${this.#buckets.get(region)}/${key}`;
    const headers = signed(
      credentialsOf(OPERATOR, region),
      { region, service: 's3', now: Date.now() },
      {
        method: 'GET',
        url: path,
        body: Buffer.alloc(0),
        headers: { host: new URL(this.#endpoint).host, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
      },
    );
    const { status, body } = await getPlainly(this.#endpoint + path, {
      agent: this.#agent,
      timeoutMs: TIMEOUT_MS,
      headers,
    });
    if (status === 404) return undefined;
    if (status !== 200)
      throw new DrillError(`${path} in ${region} is answered ${status}: ${body.slice(0, 200)}`);
    return body;
  }

  /** Of the backup under a prefix; undefined as long as there is none. */
  async verdict(region: string, prefix: string): Promise<BackupVerdict | undefined> {
    const key = `${prefix}${VERDICT_FILE}`;
    const text = await this.text(region, key);
    return text === undefined ? undefined : parseBackupVerdict(text, key);
  }

  close(): void {
    this.#agent.destroy();
  }
}
