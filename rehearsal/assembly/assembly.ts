// The cloud assembly as the rehearsal sees it: every resource of every stack with its physical id, its ARN and its
// properties, all intrinsic functions worked out across stacks and regions, as CloudFormation would on deployment.
import { statSync } from 'node:fs';
import {
  AssemblyError,
  type AssemblyFiles,
  partitionOf,
  readAssemblyFiles,
  type StackFiles,
  stageOf,
  type TemplateOutput,
  type TemplateResource,
} from './assembly-files.ts';
import { refuseCycles } from './cycles.ts';
import { isFields, NO_VALUE, resolveCondition, resolveValue, type Scope } from './intrinsics.ts';
import { type Facts, OTHER_TYPE, RESOURCE_TYPES, STREAM_LABEL } from './resource-types.ts';
import { type DescribedTable, describeTableField, readDescribeTable, SDK_CALL_TYPE } from './sdk-calls.ts';

export { AssemblyError };

export interface Resource {
  readonly stack: string;
  readonly region: string;
  readonly logicalId: string;
  readonly type: string;
  /** What `Ref` gives. */
  readonly physicalId: string;
  /** Where the type has one. */
  readonly arn?: string;
  /** All intrinsic functions resolved. */
  readonly properties: Readonly<Record<string, unknown>>;
}

export interface Deployment {
  readonly stage: string;
  readonly account: string;
  readonly resources: readonly Resource[];
  ofType(type: string, region?: string): readonly Resource[];
  /** @throws AssemblyError there is none */
  byLogicalId(stack: string, logicalId: string): Resource;
  /** The directory of a function's code. @throws AssemblyError it has none among the assets */
  assetPath(resource: Resource): string;
}

/** Types that only make values travel between stacks, or say which CDK this was; reading the assembly plays them. */
export const PLAYED_TYPES: readonly string[] = [
  'AWS::CDK::Metadata',
  SDK_CALL_TYPE,
  'Custom::CrossRegionExportReader',
  'Custom::CrossRegionExportWriter',
];

/**
 * Reads what `cdk synth` wrote.
 * @param options.account stands for the account where a stack names none. @default '000000000000'
 * @throws AssemblyError there is no assembly, or something in it cannot be resolved; says where
 */
export function readDeployment(assemblyDir: string, options: { account?: string } = {}): Deployment {
  const files = readAssemblyFiles(assemblyDir);
  const named = files.stacks.map(({ account }) => account).find((account) => account !== undefined);
  const account = named ?? options.account ?? '000000000000';
  const resolver = new Resolver(files, account);
  const resources = files.stacks.flatMap((stack) => resolver.resourcesOf(stack));
  const byType = Map.groupBy(resources, ({ type }) => type);
  const byName = new Map(resources.map((resource) => [`${resource.stack}/${resource.logicalId}`, resource]));
  return {
    stage: stageOf(files.stacks),
    account,
    resources,
    ofType: (type, region) =>
      (byType.get(type) ?? []).filter((resource) => region === undefined || resource.region === region),
    byLogicalId(stack, logicalId) {
      const found = byName.get(`${stack}/${logicalId}`);
      if (!found) throw new AssemblyError('there is no such resource', { stack, logicalId });
      return found;
    },
    assetPath: (resource) => assetPath(files, resource),
  };
}

/** The types of a deployment that nothing plays, sorted. */
export function unrehearsedTypes(deployment: Deployment, playedTypes: Iterable<string>): readonly string[] {
  const played = new Set([...PLAYED_TYPES, ...playedTypes]);
  const types = new Set(deployment.resources.map(({ type }) => type));
  return [...types].filter((type) => !played.has(type)).sort();
}

function assetPath({ assets }: AssemblyFiles, { stack, logicalId, properties }: Resource): string {
  const code = isFields(properties['Code']) ? properties['Code'] : {};
  const key = code['S3Key'];
  const path = typeof key === 'string' ? assets.get(key) : undefined;
  const at = { stack, logicalId, path: 'Properties.Code' };
  if (path === undefined)
    throw new AssemblyError(`expected an S3Key of an asset, got ${Object.keys(code).join(', ')}`, at);
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new AssemblyError(`asset directory ${path} is missing: run \`npm run synth\` again`, at);
  return path;
}

interface Identity {
  readonly facts: Facts;
  readonly id: string;
}

class Resolver {
  readonly #files: AssemblyFiles;
  readonly #account: string;
  readonly #identities = new Map<string, Identity>();
  /** What is being worked out just now, so that whatever needs itself is found. */
  readonly #underWay: string[] = [];

  constructor(files: AssemblyFiles, account: string) {
    this.#files = files;
    this.#account = account;
  }

  /** All resources of a stack whose condition holds, in the template's order. */
  resourcesOf(stack: StackFiles): readonly Resource[] {
    const needs = new Map<string, Set<string>>();
    const resources = Object.keys(stack.template.Resources)
      .filter((logicalId) => this.#exists(stack, logicalId))
      .map((logicalId) => {
        const needed = new Set([stack.template.Resources[logicalId]?.DependsOn ?? []].flat());
        needs.set(logicalId, needed);
        return this.#resource(stack, logicalId, needed);
      });
    refuseCycles(stack.name, needs);
    return resources;
  }

  #resource(stack: StackFiles, logicalId: string, needed: Set<string>): Resource {
    const { Type: type, Properties = {} } = this.#template(stack, logicalId, logicalId, '');
    const { facts, id } = this.#identity(stack, logicalId);
    const arn = RESOURCE_TYPES[type]?.arn?.(facts, id);
    const scope = this.#scope(stack, logicalId, (other) => needed.add(other));
    return {
      stack: stack.name,
      region: stack.region,
      logicalId,
      type,
      physicalId: id,
      ...(arn === undefined ? {} : { arn }),
      properties: resolveValue(Properties, scope, 'Properties') as Readonly<Record<string, unknown>>,
    };
  }

  #exists(stack: StackFiles, logicalId: string): boolean {
    const condition = stack.template.Resources[logicalId]?.Condition;
    return (
      condition === undefined || this.#scope(stack, logicalId, () => {}).condition(condition, 'Condition')
    );
  }

  #template(stack: StackFiles, logicalId: string, from: string, path: string): TemplateResource {
    const resource = stack.template.Resources[logicalId];
    if (!resource || !this.#exists(stack, logicalId))
      throw new AssemblyError(`there is no ${logicalId} in this stack`, {
        stack: stack.name,
        logicalId: from,
        path,
      });
    return resource;
  }

  /** A resource's physical id; depends on few of its properties, so that resources may name one another. */
  #identity(stack: StackFiles, logicalId: string): Identity {
    const key = `${stack.name}/${logicalId}`;
    const known = this.#identities.get(key);
    if (known) return known;
    return this.#once(key, { stack: stack.name, logicalId }, () => {
      const { Type, Properties = {} } = this.#template(stack, logicalId, logicalId, '');
      const scope = this.#scope(stack, logicalId, () => {});
      const facts: Facts = {
        partition: partitionOf(stack.region).partition,
        urlSuffix: partitionOf(stack.region).urlSuffix,
        account: this.#account,
        region: stack.region,
        stack: stack.name,
        logicalId,
        text(property) {
          const value = resolveValue(Properties[property], scope, `Properties.${property}`);
          if (value === undefined || value === NO_VALUE) return undefined;
          return typeof value === 'object' ? JSON.stringify(value) : String(value);
        },
      };
      const identity = { facts, id: (RESOURCE_TYPES[Type] ?? OTHER_TYPE).id(facts) };
      this.#identities.set(key, identity);
      return identity;
    });
  }

  /** Runs `work`, unless it is this very `key` that needs it. */
  #once<T>(key: string, at: { stack: string; logicalId: string }, work: () => T): T {
    const start = this.#underWay.indexOf(key);
    if (start >= 0)
      throw new AssemblyError(`needs itself: ${[...this.#underWay.slice(start), key].join(' → ')}`, at);
    this.#underWay.push(key);
    try {
      return work();
    } finally {
      this.#underWay.pop();
    }
  }

  #attribute(stack: StackFiles, logicalId: string, attribute: string, from: string, path: string): unknown {
    const { Type } = this.#template(stack, logicalId, from, path);
    const { facts, id } = this.#identity(stack, logicalId);
    const rule = RESOURCE_TYPES[Type] ?? OTHER_TYPE;
    const value = attribute === 'Arn' ? rule.arn : rule.attributes?.[attribute];
    if (value) return value(facts, id);
    if (Type === 'Custom::CrossRegionExportReader') {
      const imports = this.#customProps(stack, logicalId, 'ReaderProps')['imports'];
      if (isFields(imports) && attribute in imports)
        return resolveValue(
          imports[attribute],
          this.#scope(stack, logicalId, () => {}),
          `Properties.ReaderProps.imports.${attribute}`,
        );
    }
    if (Type === SDK_CALL_TYPE) return this.#sdkAnswer(stack, logicalId, attribute);
    throw new AssemblyError(
      `${logicalId} (${Type}) has no attribute ${attribute} that the rehearsal knows: add it to rehearsal/assembly/resource-types.ts`,
      { stack: stack.name, logicalId: from, path },
    );
  }

  /** What a custom resource's call to AWS answers. */
  #sdkAnswer(stack: StackFiles, logicalId: string, attribute: string): string {
    const path = 'Properties.Create';
    const scope = this.#scope(stack, logicalId, () => {});
    const create = resolveValue(stack.template.Resources[logicalId]?.Properties?.['Create'], scope, path);
    try {
      const { tableName, region = stack.region } = readDescribeTable(create);
      const table = this.#table(tableName, region);
      if (!table) throw new RangeError(`no stack has a table ${tableName} with a replica in ${region}`);
      const field = describeTableField(attribute, table);
      if (field !== undefined) return field;
      throw new RangeError(`expected an attribute of ${tableName} that is played, got ${attribute}`);
    } catch (why) {
      if (why instanceof RangeError) return scope.fail(path, why.message);
      throw why;
    }
  }

  /** A table by the name and region of one of its replicas. */
  #table(name: string, region: string): DescribedTable | undefined {
    for (const stack of this.#files.stacks)
      for (const [logicalId, { Type, Properties = {} }] of Object.entries(stack.template.Resources)) {
        if (Type !== 'AWS::DynamoDB::GlobalTable' || !this.#exists(stack, logicalId)) continue;
        if (this.#identity(stack, logicalId).id !== name) continue;
        const replicas = [Properties['Replicas']].flat().filter(isFields);
        if (!replicas.some(({ Region }) => Region === region)) continue;
        const arn = `arn:${partitionOf(region).partition}:dynamodb:${region}:${this.#account}:table/${name}`;
        const streamLabel = Properties['StreamSpecification'] === undefined ? undefined : STREAM_LABEL;
        return { arn, name, streamLabel };
      }
    return undefined;
  }

  #customProps(stack: StackFiles, logicalId: string, name: string): Readonly<Record<string, unknown>> {
    const props = stack.template.Resources[logicalId]?.Properties?.[name];
    return isFields(props) ? props : {};
  }

  #output(stack: StackFiles, name: string, output: TemplateOutput): unknown {
    const at = { stack: stack.name, logicalId: `output ${name}` };
    return this.#once(`${stack.name}/output ${name}`, at, () =>
      resolveValue(
        output.Value,
        this.#scope(stack, at.logicalId, () => {}),
        'Value',
      ),
    );
  }

  /** An output of a stack in `region` that `matches`; undefined where there is none or its condition does not hold. */
  #findOutput(
    region: string,
    matches: (stack: StackFiles, name: string, output: TemplateOutput) => boolean,
  ): { value: unknown } | undefined {
    for (const stack of this.#files.stacks) {
      if (stack.region !== region) continue;
      for (const [name, output] of Object.entries(stack.template.Outputs)) {
        const scope = this.#scope(stack, `output ${name}`, () => {});
        if (output.Condition !== undefined && !scope.condition(output.Condition, 'Condition')) continue;
        if (matches(stack, name, output)) return { value: this.#output(stack, name, output) };
      }
    }
    return undefined;
  }

  /** A parameter of Systems Manager: one that a stack declares, or that a cross-region writer puts there. */
  #parameter(region: string, name: string): { value: unknown } | undefined {
    for (const stack of this.#files.stacks) {
      for (const [logicalId, { Type }] of Object.entries(stack.template.Resources)) {
        if (Type === 'Custom::CrossRegionExportWriter') {
          const { region: to, exports } = this.#customProps(stack, logicalId, 'WriterProps');
          if (to !== region || !isFields(exports) || !(name in exports)) continue;
          const scope = this.#scope(stack, logicalId, () => {});
          return { value: resolveValue(exports[name], scope, `Properties.WriterProps.exports.${name}`) };
        }
        if (Type === 'AWS::SSM::Parameter' && stack.region === region && this.#exists(stack, logicalId)) {
          const { facts, id } = this.#identity(stack, logicalId);
          if (id === name) return { value: facts.text('Value') };
        }
      }
    }
    return undefined;
  }

  #scope(stack: StackFiles, logicalId: string, onReference: (logicalId: string) => void): Scope {
    const { template, region, name: stackName } = stack;
    const fail = (path: string, why: string): never => {
      throw new AssemblyError(why, { stack: stackName, logicalId, path });
    };
    const scope: Scope = {
      fail,
      ref: (name, path) => {
        const pseudo = this.#pseudo(stack, name);
        if (pseudo !== undefined) return pseudo;
        if (name in template.Parameters) return this.#templateParameter(stack, name, scope, path);
        this.#template(stack, name, logicalId, path);
        onReference(name);
        return this.#identity(stack, name).id;
      },
      getAtt: (id, attribute, path) => {
        onReference(id);
        return this.#attribute(stack, id, attribute, logicalId, path);
      },
      condition: (name, path) => {
        if (!(name in template.Conditions)) return fail(path, `there is no condition ${name} in this stack`);
        return this.#once(`${stackName}/condition ${name}`, { stack: stackName, logicalId }, () =>
          resolveCondition(template.Conditions[name], scope, `Conditions.${name}`),
        );
      },
      mapping: (map, key, second, path) =>
        template.Mappings[map]?.[key]?.[second] ??
        fail(path, `the mappings hold nothing at ${map}.${key}.${second}`),
      importValue: (name, path) => {
        const exported = this.#findOutput(region, (from, outputName, output) => {
          if (!output.Export) return false;
          const of = this.#scope(from, `output ${outputName}`, () => {});
          return resolveValue(output.Export.Name, of, 'Export.Name') === name;
        });
        return exported ? exported.value : fail(path, `no stack in ${region} exports ${name}`);
      },
      stackOutput: ({ stack: from, output: wanted, region: in_ = region }, path) => {
        const found = this.#findOutput(in_, (other, name) => other.name === from && name === wanted);
        return found ? found.value : fail(path, `stack ${from} in ${in_} has no output ${wanted}`);
      },
      dynamicReference: (service, reference, path) => {
        const parameter = service === 'ssm' ? this.#parameter(region, reference) : undefined;
        return typeof parameter?.value === 'string'
          ? parameter.value
          : fail(path, `nothing in the assembly gives {{resolve:${service}:${reference}}} in ${region}`);
      },
    };
    return scope;
  }

  #templateParameter({ template, region }: StackFiles, name: string, scope: Scope, path: string): unknown {
    const { Type = 'String', Default: value } = template.Parameters[name] ?? {};
    if (value === undefined) return scope.fail(path, `parameter ${name} has no default`);
    if (Type.startsWith('AWS::SSM::Parameter::Value')) {
      const found = this.#parameter(region, String(value));
      return found ? found.value : scope.fail(path, `nothing in the assembly gives SSM parameter ${value}`);
    }
    return Type === 'CommaDelimitedList' || Type.startsWith('List<') ? String(value).split(',') : value;
  }

  #pseudo({ name, region }: StackFiles, parameter: string): unknown {
    switch (parameter) {
      case 'AWS::AccountId':
        return this.#account;
      case 'AWS::NoValue':
        return NO_VALUE;
      case 'AWS::NotificationARNs':
        return [];
      case 'AWS::Partition':
        return partitionOf(region).partition;
      case 'AWS::Region':
        return region;
      case 'AWS::StackId':
        return `arn:${partitionOf(region).partition}:cloudformation:${region}:${this.#account}:stack/${name}/rehearsal`;
      case 'AWS::StackName':
        return name;
      case 'AWS::URLSuffix':
        return partitionOf(region).urlSuffix;
      default:
        return undefined;
    }
  }
}
