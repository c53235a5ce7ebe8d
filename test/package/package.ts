// What a user gets (`npm run package:test`): the tarball of `npm pack` is installed into an empty folder, without a
// network, and used there by a program that knows nothing of this repository: typed, on Node 24 and on the oldest Node
// it is for. The sources are TypeScript, which Node does not strip inside node_modules, so it is built first.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { type PushStub, startPushStub } from './push-stub.ts';

const ROOT = normalize(join(import.meta.dirname, '../..'));
const TSC = join(ROOT, 'node_modules/.bin/tsc');
/** The lowest that package.json promises; installed once, beside this project's own Node. */
const OLDEST = '22.13.1';
const OLDEST_FOLDER = join(ROOT, '.cache', `node-${OLDEST}`);
/** Nothing listens on the discard port: what is written there stays pending. */
const NOWHERE = 'http://127.0.0.1:9';

const folder = mkdtempSync(join(tmpdir(), 'eden-field-package-'));
let packed: readonly string[];
let stub: PushStub;

before(async () => {
  const packing = npm(ROOT, 'pack', '--json', '--pack-destination', folder);
  // Scripts that run before it may print in front of the JSON.
  const [{ filename, files }] = JSON.parse(packing.slice(packing.indexOf('[\n'))) as [
    { filename: string; files: { path: string }[] },
  ];
  packed = files.map(({ path }) => path);
  npm(folder, 'init', '-y');
  npm(folder, 'install', '--offline', '--no-audit', '--no-fund', join(folder, filename));
  // A module of its own, as its author would say.
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ ...readJson('package.json'), type: 'module' }),
  );
  copyFileSync(join(import.meta.dirname, 'consumer/consumer.ts'), join(folder, 'consumer.ts'));
  stub = await startPushStub();
});

after(() => {
  stub?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('the package holds the built library, its declarations, the readme and the licence, and nothing else', () => {
  const others = packed.filter((path) => !/^dist\/(client|protocol)\/.*\.d\.ts$/.test(path));
  assert.deepEqual(others.toSorted(), ['LICENSE', 'README.md', 'dist/client/index.js', 'package.json']);
});

test('the package needs no other package: one module that imports only what Node has', () => {
  const { dependencies, peerDependencies, engines } = readJson('node_modules/eden-field/package.json');
  assert.deepEqual(
    { dependencies, peerDependencies, engines },
    {
      dependencies: undefined,
      peerDependencies: undefined,
      engines: { node: '>=22.13' },
    },
  );
  assert.deepEqual(Object.keys(readJson('node_modules/.package-lock.json')['packages'] as object), [
    'node_modules/eden-field',
  ]);
  const text = readFileSync(join(folder, 'node_modules/eden-field/dist/client/index.js'), 'utf8');
  const imports = [...text.matchAll(/^import\b[^'"]*['"]([^'"]+)['"]/gm)].map(([, from]) => from as string);
  assert.ok(imports.includes('node:sqlite'), `expected the imports to be found, got ${imports}`);
  assert.deepEqual(
    imports.filter((from) => !from.startsWith('node:')),
    [],
  );
  assert.doesNotMatch(text, /\brequire\(|\bimport\(/);
});

for (const [module, moduleResolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
] as const)
  test(`a strictly typed program compiles against the package, resolved as ${moduleResolution}`, () => {
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      target: 'es2023',
      module,
      moduleResolution,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules/@types')],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
    const { status, stdout } = spawnSync(TSC, ['-p', folder], { encoding: 'utf8' });
    assert.equal(stdout, '');
    assert.equal(status, 0);
  });

test('the package works in an empty folder on Node 24', () => writeThenSend([process.execPath]));

test(`the package works in an empty folder on Node ${OLDEST}`, (t) => {
  const problem = installOldest();
  if (problem !== undefined) return t.skip(`not run: node@${OLDEST} cannot be installed: ${problem}`);
  const node = join(OLDEST_FOLDER, 'node_modules/.bin/node');
  assert.equal(execFileSync(node, ['-v'], { encoding: 'utf8' }).trim(), `v${OLDEST}`);
  return writeThenSend([node, '--experimental-strip-types']);
});

/** One process edits and ends without a word, another finds the edits and sends them. */
async function writeThenSend(node: readonly string[]): Promise<void> {
  const path = join(folder, `${node.length}.db`);
  const written = await run(node, 'write', path, NOWHERE);
  assert.equal(written['pending'], 3);
  assert.equal(written['n2'], null);
  const n1 = written['n1'] as Record<string, unknown>;
  assert.deepEqual([n1['payload'], n1['pending']], [{ text: 'hello' }, true]);
  const sent = await run(node, 'send', path, stub.url);
  assert.deepEqual([sent['recovered'], sent['read']], [3, { text: 'hello' }]);
  assert.deepEqual([sent['pending'], sent['quarantined']], [0, 0]);
  assert.equal((sent['verdicts'] as Record<string, unknown>)['applied'], 3);
  assert.deepEqual(stub.taken(), ['put notes/n1', 'put notes/n2', 'delete notes/n2']);
}

async function run([node = '', ...flags]: readonly string[], ...args: string[]) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile(
    node,
    [...flags, join(folder, 'consumer.ts'), ...args],
    { cwd: folder },
    (error, stdout, stderr) => {
      if (error) reject(new Error(`the program failed: ${stderr}`, { cause: error }));
      else resolve(stdout);
    },
  );
  return JSON.parse(await promise) as Record<string, unknown>;
}

/** What stood in the way, if anything did. */
function installOldest(): string | undefined {
  if (existsSync(join(OLDEST_FOLDER, 'node_modules/.bin/node'))) return undefined;
  mkdirSync(OLDEST_FOLDER, { recursive: true });
  const manifest = { private: true, dependencies: { node: OLDEST }, allowScripts: { node: true } };
  writeFileSync(join(OLDEST_FOLDER, 'package.json'), JSON.stringify(manifest));
  try {
    npm(OLDEST_FOLDER, 'install', '--no-audit', '--no-fund');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function npm(cwd: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm ${args[0]} failed: ${stderr}`);
  return stdout;
}

function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, path), 'utf8')) as Record<string, unknown>;
}
