// Backup functions of three Regions on buckets and exports in memory, on a clock of their own: exports take their time,
// fail, and Regions are gone, as a test says.
import { createBackup } from '../../lambdas/routes/backup.ts';
import type { BackupReader, BackupStore, Exporter } from '../../lambdas/store/backup-store.ts';
import { StoreUnavailableError } from '../../lambdas/store/store.ts';
import { BACKUP_FILE, type BackupTier, HOUR_MS, parseBackup } from '../../protocol/backups.ts';
import { exportFolder, MANIFEST_SUMMARY } from '../../protocol/export-files.ts';
import { REGIONS, Recorder } from './functions.ts';
import { Jobs } from './who-is-active.ts';

type Role = keyof typeof REGIONS;

const MINUTE_MS = 60_000;

export function gone(what: string): StoreUnavailableError {
  return new StoreUnavailableError(`${what} did not answer`, { retryable: true, mayHaveLanded: true });
}

async function* piecesOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A bucket that can be out of reach. */
export class Bucket implements BackupStore {
  readonly objects = new Map<string, string>();
  /** Data files, compressed. */
  readonly files = new Map<string, Uint8Array>();
  readonly locks = new Map<string, number>();
  /** Keys in one listing; bytes in one piece of a file. */
  page = 1_000;
  pieces = 64 * 1024;
  isGone = false;

  async text(key: string): Promise<string | undefined> {
    if (this.isGone) throw gone('the bucket');
    return this.objects.get(key);
  }

  async putJson(key: string, value: object): Promise<void> {
    if (this.isGone) throw gone('the bucket');
    this.objects.set(key, JSON.stringify(value));
  }

  async file(key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    if (this.isGone) throw gone('the bucket');
    const bytes = this.files.get(key);
    return bytes && piecesOf(bytes, this.pieces);
  }

  async keys(prefix: string, after = ''): Promise<{ keys: readonly string[]; more: boolean }> {
    if (this.isGone) throw gone('the bucket');
    const all = [...this.objects.keys(), ...this.files.keys()]
      .filter((key) => key.startsWith(prefix) && key > after)
      .sort();
    return { keys: all.slice(0, this.page), more: all.length > this.page };
  }

  async lock(key: string, untilMs: number): Promise<void> {
    if (this.isGone) throw gone('the bucket');
    this.locks.set(key, untilMs);
  }
}

interface Asked {
  readonly token: string;
  readonly arn: string;
  readonly prefix: string;
  readonly bucket: Bucket;
  readonly readyMs: number;
  readonly fails: boolean;
}

/** DynamoDB of one Region: complete exports write their summary. */
export class Exports implements Exporter {
  readonly asked: Asked[] = [];
  readonly #now: () => number;
  readonly #buckets: ReadonlyMap<string, Bucket>;
  earliestMs = 0;
  /** How far the latest restorable time lags. */
  lagMs = 5 * MINUTE_MS;
  takesMs = 3 * MINUTE_MS;
  /** What the next ones come to. */
  fails = false;
  isGone = false;

  constructor(now: () => number, buckets: ReadonlyMap<string, Bucket>) {
    this.#now = now;
    this.#buckets = buckets;
  }

  async restorable() {
    if (this.isGone) throw gone('DynamoDB');
    return { earliestMs: this.earliestMs, latestMs: this.#now() - this.lagMs };
  }

  async ask(
    { clientToken: token, prefix }: Parameters<Exporter['ask']>[0],
    { bucket: name }: { bucket: string },
  ) {
    if (this.isGone) throw gone('DynamoDB');
    const before = this.asked.find((it) => it.token === token);
    if (before) return before.arn;
    const bucket = this.#buckets.get(name);
    if (!bucket) throw new Error(`expected a bucket of ${[...this.#buckets.keys()].join(', ')}, got ${name}`);
    const id = `0${String(this.#now()).slice(0, 12)}-${(this.asked.length + 1).toString(16).padStart(8, '0')}`;
    const arn = `arn:aws:dynamodb:us-east-2:123456789012:table/t/export/${id}`;
    this.asked.push({ token, arn, prefix, bucket, readyMs: this.#now() + this.takesMs, fails: this.fails });
    return arn;
  }

  async progress(exportArn: string) {
    if (this.isGone) throw gone('DynamoDB');
    const it = this.asked.find(({ arn }) => arn === exportArn);
    if (!it) return { state: 'failed', why: 'unknown' } as const;
    if (it.readyMs > this.#now()) return { state: 'under_way' } as const;
    return it.fails
      ? ({ state: 'failed', why: 'S3AccessDenied' } as const)
      : ({ state: 'completed' } as const);
  }

  /** Lets exports end that are due. */
  settle(): void {
    for (const { arn, prefix, bucket, readyMs, fails } of this.asked)
      if (readyMs <= this.#now() && !fails)
        bucket.objects.set(`${exportFolder(prefix, arn)}${MANIFEST_SUMMARY}`, '{}');
  }
}

export class BackupWorld {
  nowMs: number;
  readonly jobs = new Jobs();
  isTableGone = false;
  readonly buckets = new Map(
    [...Object.values(REGIONS).map((region) => `backup-${region}`), 'offsite'].map((name) => [
      name,
      new Bucket(),
    ]),
  );
  readonly exports = new Map(
    Object.values(REGIONS).map((region) => [region, new Exports(() => this.nowMs, this.buckets)]),
  );
  readonly telemetry = new Map(Object.values(REGIONS).map((region) => [region, new Recorder()]));
  readonly offsite = this.buckets.get('offsite') as Bucket;
  /** Without a quorum Region the standby makes the offsite copies, into another account's bucket. */
  readonly #roles: readonly Role[];
  readonly #offsiteRole: Role;

  constructor(nowMs: number, roles: readonly Role[] = ['primary', 'standby', 'quorum']) {
    this.nowMs = nowMs;
    this.#roles = roles;
    this.#offsiteRole = roles.includes('quorum') ? 'quorum' : 'standby';
  }

  bucket(role: Role): Bucket {
    return this.buckets.get(`backup-${REGIONS[role]}`) as Bucket;
  }

  exporter(role: Role): Exports {
    return this.exports.get(REGIONS[role]) as Exports;
  }

  log(role: Role): Recorder {
    return this.telemetry.get(REGIONS[role]) as Recorder;
  }

  /** A schedule's call in one Region. */
  async call(role: Role, tier: BackupTier, atMs = this.nowMs): Promise<void> {
    const region = REGIONS[role];
    const peers = new Map<string, BackupReader>(
      this.#roles.filter((it) => it !== role).map((it) => [REGIONS[it], this.bucket(it)]),
    );
    const { primary, standby } = REGIONS;
    const hasQuorum = this.#roles.includes('quorum');
    const keyArn = 'key';
    await createBackup({
      place: { stage: 'dev', role, region, regions: hasQuorum ? REGIONS : { primary, standby } },
      telemetry: this.log(role),
      now: () => this.nowMs,
      wait: async (ms) => {
        this.nowMs += ms;
      },
      generation: {
        current: async () => ({ status: 'open', restoreEpoch: 7 }),
        refresh: async () => ({ status: 'open', restoreEpoch: 7 }),
      },
      store: {
        enterJob: async (job, entry) => {
          if (this.isTableGone) throw gone('the table');
          return this.jobs.enter(job, entry);
        },
      },
      exporter: this.exporter(role),
      tableArn: 'arn:aws:dynamodb:us-east-2:123456789012:table/t',
      places: [
        {
          tiers: ['hourly', 'daily', 'weekly'],
          store: this.bucket(role),
          target: { bucket: `backup-${region}`, keyArn },
          peers,
        },
        ...(role === this.#offsiteRole
          ? [
              {
                tiers: ['offsite'] as const,
                store: this.offsite,
                target: { bucket: 'offsite', keyArn },
                peers: new Map<string, BackupReader>(),
              },
            ]
          : []),
      ],
      ...(!hasQuorum && { thirdCopy: { name: `${standby} offsite`, reader: this.offsite } }),
    })({ tier, atMs });
  }

  /** Time passes, and exports end. */
  pass(ms: number): void {
    this.nowMs += ms;
    for (const exports of this.exports.values()) exports.settle();
  }

  /** One hour of all Regions that are there: their schedules at :20, then to the next full hour. */
  async hour(roles: readonly Role[], tiers: readonly BackupTier[] = ['hourly']): Promise<void> {
    this.pass(20 * MINUTE_MS);
    for (const role of roles) for (const tier of tiers) await this.call(role, tier).catch(() => {});
    const next = Math.ceil(this.nowMs / HOUR_MS) * HOUR_MS;
    this.pass(next - this.nowMs);
  }

  /** What was asked for, by prefix, and whether it is complete. */
  made(bucket: Bucket): ReadonlyMap<string, string> {
    return new Map(
      [...bucket.objects.entries()]
        .filter(([key]) => key.endsWith(BACKUP_FILE))
        .map(([key, text]) => {
          const backup = parseBackup(text, key);
          const prefix = key.slice(0, -BACKUP_FILE.length);
          const whole = bucket.objects.has(`${exportFolder(prefix, backup.exportArn)}${MANIFEST_SUMMARY}`);
          return [prefix, `${backup.kind}${whole ? '' : ' under way'}`];
        }),
    );
  }
}
