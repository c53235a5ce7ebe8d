// The files of a cloud assembly as `cdk synth` leaves them: the manifest, a template per stack with the region it
// goes to, and the directories of the assets. Nothing is resolved here.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isFields } from './intrinsics.ts';

export interface TemplateResource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
  readonly DependsOn?: string | readonly string[];
  readonly Condition?: string;
}

export interface TemplateOutput {
  readonly Value: unknown;
  readonly Export?: { readonly Name: unknown };
  readonly Condition?: string;
}

export interface Template {
  readonly Resources: Readonly<Record<string, TemplateResource>>;
  readonly Outputs: Readonly<Record<string, TemplateOutput>>;
  readonly Parameters: Readonly<Record<string, { readonly Type: string; readonly Default?: unknown }>>;
  readonly Conditions: Readonly<Record<string, unknown>>;
  readonly Mappings: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>;
}

export interface StackFiles {
  readonly name: string;
  readonly region: string;
  /** Undefined when the stack goes to whichever account deploys it. */
  readonly account: string | undefined;
  readonly template: Template;
}

export interface AssemblyFiles {
  readonly stacks: readonly StackFiles[];
  /** By the key under which the asset is uploaded: its file or directory here. */
  readonly assets: ReadonlyMap<string, string>;
}

/** What of the assembly could not be used. */
export class AssemblyError extends Error {
  override readonly name = 'AssemblyError';
  readonly stackName: string | undefined;
  readonly logicalId: string | undefined;
  /** Where in the template, e.g. `Properties.Role.Fn::GetAtt`. */
  readonly path: string | undefined;

  constructor(why: string, at: { stack?: string; logicalId?: string; path?: string } = {}) {
    const place = [at.stack && `stack ${at.stack}`, at.logicalId, at.path].filter(Boolean).join(', ');
    super(place ? `${place}: ${why}` : why);
    this.stackName = at.stack;
    this.logicalId = at.logicalId;
    this.path = at.path;
  }
}

interface Artifact {
  readonly type: string;
  readonly environment?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** @throws AssemblyError `directory` holds no assembly, or one with parts this reader does not know */
export function readAssemblyFiles(directory: string): AssemblyFiles {
  const root = resolve(directory);
  if (!existsSync(join(root, 'manifest.json')))
    throw new AssemblyError(
      `${directory} holds no cloud assembly (no manifest.json in it): run \`npm run synth\``,
    );
  const manifest = readJson(root, 'manifest.json');
  const artifacts = Object.entries(
    (manifest['artifacts'] ?? {}) as Readonly<Record<string, Artifact | undefined>>,
  );
  const stacks: StackFiles[] = [];
  const assets = new Map<string, string>();
  for (const [id, artifact] of artifacts) {
    if (artifact?.type === 'aws:cloudformation:stack') stacks.push(readStack(root, id, artifact));
    if (artifact?.type === 'cdk:asset-manifest') readAssets(root, artifact, assets);
    if (artifact?.type === 'cdk:cloud-assembly')
      throw new AssemblyError(
        `${id} is an assembly of its own (a CDK Stage); only stacks of the app are read`,
      );
  }
  if (stacks.length === 0)
    throw new AssemblyError(`${directory} holds no stack: run \`npm run synth\` and look at what it says`);
  return { stacks, assets };
}

function readStack(root: string, id: string, { environment = '', properties = {} }: Artifact): StackFiles {
  const name = String(properties['stackName'] ?? id);
  const [, account, region] = /^aws:\/\/([^/]+)\/([^/]+)$/.exec(environment) ?? [];
  if (region === undefined || region === 'unknown-region')
    throw new AssemblyError(`expected a stack with a fixed region, got environment ${environment}`, {
      stack: name,
    });
  const template = readJson(root, String(properties['templateFile'] ?? `${id}.template.json`));
  const section = (key: string) => (isFields(template[key]) ? template[key] : {});
  return {
    name,
    region,
    account: account === 'unknown-account' ? undefined : account,
    template: {
      Resources: section('Resources') as Template['Resources'],
      Outputs: section('Outputs') as Template['Outputs'],
      Parameters: section('Parameters') as Template['Parameters'],
      Conditions: section('Conditions'),
      Mappings: section('Mappings') as Template['Mappings'],
    },
  };
}

function readAssets(root: string, { properties = {} }: Artifact, assets: Map<string, string>): void {
  const { files = {} } = readJson(root, String(properties['file'])) as {
    files?: Readonly<
      Record<
        string,
        {
          readonly source: { readonly path?: string };
          readonly destinations: Readonly<Record<string, { readonly objectKey: string }>>;
        }
      >
    >;
  };
  for (const { source, destinations } of Object.values(files)) {
    if (source.path === undefined) continue;
    for (const { objectKey } of Object.values(destinations)) assets.set(objectKey, join(root, source.path));
  }
}

function readJson(root: string, file: string): Readonly<Record<string, unknown>> {
  const path = join(root, file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AssemblyError(`${file} is missing from the assembly: run \`npm run synth\` again (${cause})`);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AssemblyError(`${file} is not JSON: run \`npm run synth\` again (${cause})`);
  }
}

/** By the stacks' names. @throws AssemblyError none has one */
export function stageOf(stacks: readonly StackFiles[]): string {
  for (const { name } of stacks) {
    const stage = /^eden-field-([a-z0-9]+)-/.exec(name)?.[1];
    if (stage !== undefined) return stage;
  }
  throw new AssemblyError(`expected stacks called eden-field-<stage>-…, got ${stacks[0]?.name}`);
}

export function partitionOf(region: string): { partition: string; urlSuffix: string } {
  if (region.startsWith('cn-')) return { partition: 'aws-cn', urlSuffix: 'amazonaws.com.cn' };
  if (region.startsWith('us-gov-')) return { partition: 'aws-us-gov', urlSuffix: 'amazonaws.com' };
  return { partition: 'aws', urlSuffix: 'amazonaws.com' };
}
