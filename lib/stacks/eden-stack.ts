// What every stack of the app has in common: its name, its Region, its tags, and that a stage which keeps its data
// refuses to be deleted.
import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { type Config, type Role, regionOf } from '../../config/config.ts';
import { type Layer, stackName } from '../names.ts';

export interface EdenStackProps {
  readonly config: Config;
}

export abstract class EdenStack extends Stack {
  readonly config: Config;
  /** Of stateful resources. */
  readonly removalPolicy: RemovalPolicy;

  /** @param account Of another account than the stage's. */
  protected constructor(
    scope: Construct,
    layer: Layer,
    role: Role,
    what: string,
    config: Config,
    account = config.account,
  ) {
    const { stage, retainData } = config;
    super(scope, stackName(stage, layer), {
      env: { region: regionOf(config, role), ...(account === undefined ? {} : { account }) },
      description: `Eden Field ${stage}: ${what}`,
      terminationProtection: retainData,
      // Only the multi-Region key's ARN crosses (ADR 0010); a stack without such a value gets nothing from this.
      crossRegionReferences: layer.startsWith('foundation-'),
    });
    this.config = config;
    this.removalPolicy = retainData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
  }
}
