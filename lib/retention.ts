// The last word on what is kept: every backup bucket of a stage, as its finished template describes it. A tier that was
// removed or shortened, by whatever means, ends the synth here; a backup that has expired cannot be had back.
import type { App } from 'aws-cdk-lib';
import type { CloudAssembly } from 'aws-cdk-lib/cx-api';
import { type Config, offsiteRegionOf, regionOf, rolesOf } from '../config/config.ts';
import { type BackupBucketUse, type BucketProperties, KEPT, retentionFaults } from '../config/retention.ts';
import { bucketName, type Layer, stackName } from './names.ts';

/** A stage whose buckets would not keep what they are there to keep. */
export class RetentionError extends Error {
  override readonly name = 'RetentionError';
  constructor(stage: string, faults: readonly string[]) {
    super(
      `stage ${stage}: backups would not be kept as promised\n` +
        `${faults.map((fault) => `  - ${fault}\n`).join('')}` +
        '  What is kept for how long stands in config/promises.ts and config/retention.ts.',
    );
  }
}

/**
 * Synthesizes the app, and looks at what came of its backup buckets.
 * @throws {RetentionError}
 */
export function synthesizeKept(app: App, config: Config): CloudAssembly {
  const assembly = app.synth();
  const faults = keepers(config).flatMap(([layer, use, region]) => {
    const stack = stackName(config.stage, layer);
    const { Resources = {} } = assembly.getStackByName(stack).template;
    const bucket = bucketIn(Resources, bucketName(config.stage, use, region, ''));
    return bucket
      ? retentionFaults(bucket, KEPT[use]).map((fault) => `${stack}, ${use} bucket: ${fault}`)
      : [`${stack}: expected a bucket for ${use}, got none`];
  });
  if (faults.length > 0) throw new RetentionError(config.stage, faults);
  return assembly;
}

type Keeper = readonly [layer: Layer, use: BackupBucketUse, region: string];

/** Every Region's own, and the offsite one, in whichever account that is. */
function keepers(config: Config): readonly Keeper[] {
  const offsiteIn = config.consistency === 'strong' ? 'foundation-quorum' : 'offsite-copy';
  return [
    ...rolesOf(config).map((role): Keeper => [`foundation-${role}`, 'backup', regionOf(config, role)]),
    [offsiteIn, 'offsite', offsiteRegionOf(config)],
  ];
}

/** The account at the end of a bucket's name is known at deployment only. */
function bucketIn(
  resources: Readonly<Record<string, { readonly Type: string; readonly Properties?: BucketProperties }>>,
  name: string,
): BucketProperties | undefined {
  return Object.values(resources).find(
    ({ Type, Properties }) =>
      Type === 'AWS::S3::Bucket' && JSON.stringify(Properties?.['BucketName'] ?? '').includes(name),
  )?.Properties;
}
