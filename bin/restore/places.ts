// Where a restore reads from and tells of itself: every Region's backup bucket, the offsite one, whosever
// that is, every Region's audit bucket. One that does not answer is left out and named; any one of them may be all that is left.
import { type Config, offsiteRegionOf, regionsOf } from '../../config/config.ts';
import { bucketName } from '../../lib/names.ts';
import { BACKUP_TIERS } from '../../protocol/backups.ts';
import { type Bucket, openBucket } from '../buckets.ts';
import type { TableAddress } from '../routing/where.ts';

export interface Source {
  /** A Region, or `<Region> offsite`. */
  readonly name: string;
  readonly bucket: Bucket;
  /** Whether journals stand in it. */
  readonly isJournal: boolean;
}

export interface Archive {
  readonly region: string;
  readonly bucket: Bucket;
}

export interface Places {
  /** In the order they are read in. */
  readonly sources: readonly Source[];
  readonly archives: readonly Archive[];
  /** With why each does not answer. */
  readonly silent: readonly { readonly name: string; readonly why: string }[];
  close(): void;
}

export interface PlacesOptions {
  readonly config: Config;
  readonly stage: string;
  readonly account: string;
  readonly address: Pick<TableAddress, 'endpoint' | 'credentials'>;
}

export async function openPlaces({ config, stage, account, address }: PlacesOptions): Promise<Places> {
  const { endpoint, credentials } = address;
  const open = (use: 'backup' | 'offsite' | 'audit', region: string, of = account) =>
    openBucket({ region, bucket: bucketName(stage, use, region, of), endpoint, credentials });
  const regions = regionsOf(config);
  const sources: Source[] = regions.map((region) => ({
    name: region,
    bucket: open('backup', region),
    isJournal: true,
  }));
  const offsiteIn = offsiteRegionOf(config);
  sources.push({
    name: `${offsiteIn} offsite`,
    bucket: open('offsite', offsiteIn, config.thirdCopyAccount),
    isJournal: false,
  });
  const asked = await Promise.all(sources.map(async (it) => ({ it, why: await whySilent(it.bucket) })));
  const archives = regions.map((region) => ({ region, bucket: open('audit', region) }));
  return {
    sources: asked.filter(({ why }) => why === undefined).map(({ it }) => it),
    archives,
    silent: asked.flatMap(({ it: { name }, why }) => (why === undefined ? [] : [{ name, why }])),
    close() {
      for (const { bucket } of [...sources, ...archives]) bucket.close();
    },
  };
}

async function whySilent(bucket: Bucket): Promise<string | undefined> {
  try {
    for await (const _ of bucket.folders(`${BACKUP_TIERS[0]}/`)) break;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message || error.name : String(error);
  }
}
