// The whole app: which stacks a stage has, and in which order they can stand. Everything physical that one stack needs
// of another it finds by name; the order below is all that ties them.
import { App, type AppProps, Tags } from 'aws-cdk-lib';
import { type Config, partitionOf } from '../config/config.ts';
import { DataStack } from './stacks/data.ts';
import type { EdenStack } from './stacks/eden-stack.ts';
import { FoundationStack } from './stacks/foundation.ts';
import { OffsiteCopyStack } from './stacks/offsite-copy.ts';
import { QuorumStack } from './stacks/quorum.ts';
import { ServiceStack } from './stacks/service.ts';
import { TrafficStack } from './stacks/traffic.ts';

export interface EdenAppOptions {
  /** CDK's own check of every template, about half of the time a synth takes. @default true */
  readonly validate?: boolean;
  /** Whether functions are bundled; tests of templates do not need the code. @default true */
  readonly bundle?: boolean;
  /** @default where the CDK CLI says */
  readonly outdir?: string;
}

/** Behaviours of CDK that newer projects get by default; stated here and not in cdk.json, so that tests and the CLI
 * see the same app. Cross-stack references are strong: a value in use must not be removable (ADR 0010). */
const FEATURES = {
  '@aws-cdk/aws-apigateway:authorizerChangeDeploymentLogicalId': true,
  '@aws-cdk/aws-apigateway:disableCloudWatchRole': true,
  '@aws-cdk/aws-apigateway:logGroupDestinationArnWithoutWildcard': true,
  '@aws-cdk/aws-codedeploy:removeAlarmsFromDeploymentGroup': true,
  '@aws-cdk/aws-dynamodb:retainTableReplica': true,
  '@aws-cdk/aws-iam:minimizePolicies': false,
  '@aws-cdk/aws-kms:reduceCrossAccountRegionPolicyScope': true,
  '@aws-cdk/aws-s3:publicAccessBlockedByDefault': true,
  '@aws-cdk/core:checkSecretUsage': true,
  '@aws-cdk/core:defaultCrossStackReferences': 'strong',
  '@aws-cdk/core:enableAdditionalMetadataCollection': false,
  '@aws-cdk/customresources:installLatestAwsSdkDefault': false,
};

export interface EdenApp {
  readonly app: App;
  /** In the order they are deployed. */
  readonly stacks: readonly EdenStack[];
}

export function buildApp(config: Config, options: EdenAppOptions = {}): EdenApp {
  const { validate = true, bundle = true, outdir } = options;
  const props: AppProps = {
    analyticsReporting: false,
    treeMetadata: false,
    builtinCloudFormationValidation: validate,
    postCliContext: {
      ...FEATURES,
      '@aws-cdk/core:target-partitions': [partitionOf(config.regions.primary)],
      ...(bundle ? {} : { 'aws:cdk:bundling-stacks': [] }),
    },
    ...(outdir === undefined ? {} : { outdir }),
  };
  const app = new App(props);

  const primary = new FoundationStack(app, { config, role: 'primary' });
  const standby = new FoundationStack(app, { config, role: 'standby', primary });
  const quorum =
    config.regions.quorum === undefined
      ? undefined
      : new FoundationStack(app, { config, role: 'quorum', primary });
  const stacks: EdenStack[] = [
    primary,
    standby,
    ...(quorum ? [quorum] : []),
    ...(config.consistency === 'eventual' ? [new OffsiteCopyStack(app, { config })] : []),
    new DataStack(app, { config, foundation: primary }),
    ...(quorum ? [new QuorumStack(app, { config, foundation: quorum })] : []),
    // The standby gets a release first: a bad one meets nobody there.
    new ServiceStack(app, { config, role: 'standby', foundation: standby }),
    new ServiceStack(app, { config, role: 'primary', foundation: primary }),
  ];
  if (config.domain) stacks.push(new TrafficStack(app, { config, domain: config.domain }));

  // Order only: each stack can be deployed alone (`--exclusively`), and none waits for one that is down.
  for (const [index, stack] of stacks.entries()) {
    const before = stacks[index - 1];
    if (before) stack.addStackDependency(before, 'order of deployment');
  }

  Tags.of(app).add('project', 'eden-field');
  Tags.of(app).add('stage', config.stage);
  return { app, stacks };
}
