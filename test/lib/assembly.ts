// A synthesized stage as tests look at it: templates as plain objects, without bundles and without CDK's validator.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Config, defineConfig, type StageConfig } from '../../config/config.ts';
import { STAGES } from '../../config/stages.ts';
import { buildApp } from '../../lib/app.ts';
import { synthesizeKept } from '../../lib/retention.ts';

export interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template's values are whatever CloudFormation takes
  readonly Properties: any;
  readonly DependsOn?: readonly string[];
  readonly DeletionPolicy?: string;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly UpdatePolicy?: any;
}

export interface Parameter {
  readonly Type: string;
  readonly Default?: string;
  readonly AllowedPattern?: string;
}

export interface Stack {
  readonly name: string;
  readonly region: string;
  readonly account: string;
  readonly dependsOn: readonly string[];
  readonly terminationProtection: boolean;
  readonly template: {
    readonly Resources: Readonly<Record<string, Resource>>;
    readonly Parameters?: Readonly<Record<string, Parameter>>;
    readonly Outputs?: object;
  };
}

export function stageConfig(stage: string): StageConfig {
  const raw = STAGES[stage];
  if (!raw) throw new Error(`expected a stage of ${Object.keys(STAGES).join(', ')}, got ${stage}`);
  return raw;
}

/** Of the stages with three strongly consistent replicas. */
function strong(stage: string) {
  const config = defineConfig(stage, stageConfig(stage));
  if (config.consistency !== 'strong') throw new Error(`expected ${stage} to be strong, got eventual`);
  return config;
}

/** Of those with two that follow each other. */
function eventual(stage: string) {
  const config = defineConfig(stage, stageConfig(stage));
  if (config.consistency !== 'eventual') throw new Error(`expected ${stage} to be eventual, got strong`);
  return config;
}

export const DEV = strong('dev');
export const PROD = strong('prod');
export const GOV = eventual('gov');

/** Into a folder that goes when the test file ends. */
export function synthesize(config: Config): readonly Stack[] {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-synth-'));
  after(() => rmSync(outdir, { recursive: true, force: true }));
  const { app } = buildApp(config, { validate: false, bundle: false, outdir });
  return synthesizeKept(app, config).stacks.map((artifact) => ({
    name: artifact.stackName,
    region: artifact.environment.region,
    account: artifact.environment.account,
    dependsOn: artifact.dependencies.map(({ id }) => id).filter((id) => !id.endsWith('.assets')),
    terminationProtection: artifact.terminationProtection ?? false,
    template: artifact.template,
  }));
}

export function stackNamed(stacks: readonly Stack[], name: string): Stack {
  const found = stacks.find((stack) => stack.name === name);
  if (!found)
    throw new Error(`expected a stack ${name}, got ${stacks.map((stack) => stack.name).join(', ')}`);
  return found;
}

/** Logical id and resource of every resource of a type. */
export function ofType(stack: Stack, type: string): readonly (readonly [string, Resource])[] {
  return Object.entries(stack.template.Resources).filter(([, { Type }]) => Type === type);
}

export function only(stack: Stack, type: string, where: (resource: Resource) => boolean = () => true) {
  const found = ofType(stack, type).filter(([, resource]) => where(resource));
  const [first] = found;
  if (!first || found.length !== 1)
    throw new Error(`${stack.name}: expected one ${type}, got ${found.length}`);
  return { id: first[0], ...first[1] };
}

/** Functions of CDK's own that serve a deployment: the provider of the one cross-Region value, and what asks DynamoDB
 * for the name of a stream. */
export const CDK_FUNCTIONS = /^(CustomCrossRegion|AWS679f53fac002430cb0da5b7982bd2287)/;

/** Our own functions. */
export function ourFunctions(stack: Stack): readonly (readonly [string, Resource])[] {
  return ofType(stack, 'AWS::Lambda::Function').filter(([id]) => !CDK_FUNCTIONS.test(id));
}
