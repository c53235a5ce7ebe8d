// The only reader of a function's environment. Every value is set by its stack; one that is missing or malformed
// fails the start of the function with its name, what was expected and what came.
export const ROLES = ['primary', 'standby', 'quorum'] as const;
export type Role = (typeof ROLES)[number];

/** Where a function runs, and beside whom. */
export interface Place {
  readonly stage: string;
  readonly role: Role;
  readonly region: string;
  /** Without `quorum` there are two replicas, which follow each other. */
  readonly regions: Readonly<Record<'primary' | 'standby', string>> & { readonly quorum?: string };
}

/** Whether three replicas decide; else each decides for itself (docs/GOVCLOUD.md). */
export function hasQuorum({ regions }: Pick<Place, 'regions'>): boolean {
  return regions.quorum !== undefined;
}

type Source = Readonly<Record<string, string | undefined>>;

export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
}

export function readPlace(source: Source = process.env): Place {
  const role = required(source, 'EDEN_ROLE');
  if (!isRole(role)) throw unusable('EDEN_ROLE', `one of ${ROLES.join(', ')}`, role);
  const regions = readRegions(required(source, 'EDEN_REGIONS'));
  if (regions[role] === undefined) throw unusable('EDEN_ROLE', 'primary or standby without a quorum', role);
  return {
    stage: required(source, 'EDEN_STAGE'),
    role,
    region: required(source, 'AWS_REGION'),
    regions,
  };
}

export function readTableName(source: Source = process.env): string {
  return required(source, 'TABLE_NAME');
}

/** The audit bucket of every region, by region. */
export function readAuditBuckets(source: Source = process.env): Readonly<Record<string, string>> {
  return readBuckets('AUDIT_BUCKETS', source);
}

/** Those buckets as seen from a region: its own, and the others' by region. */
export function readAuditBucketsFrom(region: string, source: Source = process.env): BucketsFrom {
  return bucketsFrom('AUDIT_BUCKETS', region, source);
}

/** The backup buckets as seen from a region. */
export function readBackupBucketsFrom(region: string, source: Source = process.env): BucketsFrom {
  return bucketsFrom('BACKUP_BUCKETS', region, source);
}

/** ARN of the region's own replica of the table. */
export function readTableArn(source: Source = process.env): string {
  return required(source, 'TABLE_ARN');
}

/** A bucket and the key it is encrypted with. */
export interface KeyedBucket {
  readonly bucket: string;
  readonly keyArn: string;
  /** Its account, where that is another one. */
  readonly owner?: string;
}

/** Where the offsite copies go; undefined in a region that has none. */
export function readOffsite(source: Source = process.env): KeyedBucket | undefined {
  const text = source['OFFSITE'];
  if (text === undefined || text === '') return undefined;
  const offsite = parseJson('OFFSITE', text);
  const { bucket, keyArn, owner } = isBuckets(offsite) ? offsite : {};
  if (!bucket || !keyArn || !(owner === undefined || /^\d{12}$/.test(owner)))
    throw unusable(
      'OFFSITE',
      '{"bucket":"<bucket>","keyArn":"<ARN>"}, and "owner":"<twelve digits>" of another account',
      text,
    );
  return { bucket, keyArn, ...(owner !== undefined && { owner }) };
}

export interface BucketIn {
  readonly bucket: string;
  readonly region: string;
}

/** Where the copies stand that count as the third of every backup; undefined with three regions. */
export function readThirdCopy(source: Source = process.env): BucketIn | undefined {
  const text = source['THIRD_COPY'];
  if (text === undefined || text === '') return undefined;
  const third = parseJson('THIRD_COPY', text);
  const { bucket, region } = isBuckets(third) ? third : {};
  if (!bucket || !region) throw unusable('THIRD_COPY', '{"bucket":"<bucket>","region":"<region>"}', text);
  return { bucket, region };
}

/** Of verified backups: for how many days each tier is locked, and whether anybody may lift that. */
export interface LockSettings {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
  readonly days: Readonly<Record<string, number>>;
}

export function readLocks(source: Source = process.env): LockSettings {
  const text = required(source, 'BACKUP_LOCKS');
  const locks = parseJson('BACKUP_LOCKS', text);
  if (!isLocks(locks))
    throw unusable('BACKUP_LOCKS', '{"mode":"GOVERNANCE|COMPLIANCE","days":{"<tier>":<from 1>,…}}', text);
  return locks;
}

/** What the name of every table begins with that a verification may make. */
export function readScratchPrefix(source: Source = process.env): string {
  return required(source, 'SCRATCH_PREFIX');
}

/** Where tasks of a restore come from. */
export function readQueueUrl(source: Source = process.env): string {
  return required(source, 'QUEUE_URL');
}

export interface BucketsFrom {
  readonly own: string;
  /** By region. */
  readonly peers: Readonly<Record<string, string>>;
}

function readBuckets(variable: string, source: Source): Readonly<Record<string, string>> {
  const text = required(source, variable);
  const buckets = parseJson(variable, text);
  if (!isBuckets(buckets)) throw unusable(variable, '{"<region>":"<bucket>",…}', text);
  return buckets;
}

function bucketsFrom(variable: string, region: string, source: Source): BucketsFrom {
  const { [region]: own, ...peers } = readBuckets(variable, source);
  if (own === undefined)
    throw new EnvironmentError(
      `environment variable ${variable}: expected a bucket of ${region}, got those of ${Object.keys(peers).join(', ')}`,
    );
  return { own, peers };
}

/** What an observer watches, and how (DESIGN §4). */
export interface Observed {
  /** Of both serving regions, by region: `GET <endpoint>/ready` is the probe. */
  readonly endpoints: Readonly<Record<string, string>>;
  /** Something in every region that answers a plain GET while that region is reached. */
  readonly controls: Readonly<Record<string, string>>;
  readonly probeIntervalMs: number;
  /** In a row, that make a vote. */
  readonly probeFailures: number;
}

/** Undefined where nothing is watched: without a domain there is no DNS to move. */
export function readObserved(source: Source = process.env): Observed | undefined {
  const text = source['OBSERVED'];
  if (text === undefined || text === '') return undefined;
  const observed = parseJson('OBSERVED', text);
  const { primary, standby, ...others } = readPlace(source).regions;
  const regions = [primary, standby, ...Object.values(others)];
  if (!isObserved(observed, [primary, standby], regions))
    throw unusable(
      'OBSERVED',
      `{"endpoints":{<a URL for each of ${primary}, ${standby}>},"controls":{<a URL for each of ${regions.join(', ')}>},"probeIntervalMs":<a part of 60000>,"probeFailures":<from 2>}`,
      text,
    );
  return observed;
}

/** How many items the scrubber looks at in order, in one run. */
export function readScrubItems(source: Source = process.env): number {
  const text = required(source, 'SCRUB_ITEMS');
  const items = Number(text);
  if (!(Number.isInteger(items) && items >= 1)) throw unusable('SCRUB_ITEMS', 'a whole number from 1', text);
  return items;
}

/** ARN of the region's own key. */
export function readKeyArn(source: Source = process.env): string {
  return required(source, 'KEY_ARN');
}

/** What tokens must say, and the keys that may sign them (JWK Set, RFC 7517). */
export interface TokenSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly keySet: unknown;
}

export function readTokenSettings(source: Source = process.env): TokenSettings {
  return {
    issuer: required(source, 'JWT_ISSUER'),
    audience: required(source, 'JWT_AUDIENCE'),
    keySet: parseJson('JWT_KEY_SET', required(source, 'JWT_KEY_SET')),
  };
}

/** ARN of the version that a deployment is about to send traffic to. */
export function readNewVersionArn(source: Source = process.env): string {
  return required(source, 'NEW_VERSION_ARN');
}

function readRegions(text: string): Place['regions'] {
  const regions = parseJson('EDEN_REGIONS', text);
  if (!isRegions(regions))
    throw unusable(
      'EDEN_REGIONS',
      '{"primary":"…","standby":"…"}, and "quorum":"…" where three decide',
      text,
    );
  return regions;
}

function isRegions(value: unknown): value is Place['regions'] {
  if (typeof value !== 'object' || value === null) return false;
  const { primary, standby, quorum } = value as Partial<Record<Role, unknown>>;
  return (
    typeof primary === 'string' &&
    typeof standby === 'string' &&
    (quorum === undefined || typeof quorum === 'string')
  );
}

function isBuckets(value: unknown): value is Readonly<Record<string, string>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).length > 0 &&
    Object.values(value).every((bucket) => typeof bucket === 'string' && bucket !== '')
  );
}

function isLocks(value: unknown): value is LockSettings {
  if (typeof value !== 'object' || value === null) return false;
  const { mode, days } = value as Partial<Record<keyof LockSettings, unknown>>;
  return (
    (mode === 'GOVERNANCE' || mode === 'COMPLIANCE') &&
    typeof days === 'object' &&
    days !== null &&
    Object.values(days).every((it) => Number.isInteger(it) && Number(it) >= 1)
  );
}

function isObserved(
  value: unknown,
  serving: readonly string[],
  regions: readonly string[],
): value is Observed {
  if (typeof value !== 'object' || value === null) return false;
  const { endpoints, controls, probeIntervalMs, probeFailures } = value as Partial<Record<string, unknown>>;
  return (
    areUrlsOf(serving, endpoints) &&
    areUrlsOf(regions, controls) &&
    typeof probeIntervalMs === 'number' &&
    probeIntervalMs >= 1_000 &&
    60_000 % probeIntervalMs === 0 &&
    Number.isInteger(probeFailures) &&
    Number(probeFailures) >= 2
  );
}

function areUrlsOf(regions: readonly string[], value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const urls = Object.entries(value);
  return (
    regions.every((region) => urls.some(([of]) => of === region)) &&
    urls.every(([, url]) => typeof url === 'string' && /^https?:\/\/[^/]/.test(url))
  );
}

function isRole(text: string): text is Role {
  return ROLES.some((role) => role === text);
}

function required(source: Source, name: string): string {
  const value = source[name];
  if (!value) throw unusable(name, 'a value', value);
  return value;
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EnvironmentError(`environment variable ${name}: expected JSON`, { cause });
  }
}

function unusable(name: string, expected: string, got: string | undefined): EnvironmentError {
  return new EnvironmentError(
    `environment variable ${name}: expected ${expected}, got ${JSON.stringify(got)}`,
  );
}
