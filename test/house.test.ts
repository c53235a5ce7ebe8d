// The house rules, held by a test: who may import what, how long a file may be, what never appears in one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { test } from 'node:test';

const ROOT = normalize(join(import.meta.dirname, '..'));
const LINES_MAX = 400;

const BENCH_FOLDERS = [/^bench\//, /^rehearsal\//, /^client\//, /^protocol\//, /^config\//];

/** For the first rule that a file's path matches: what its relative imports may point into, and which packages. */
const RULES: readonly { files: RegExp; folders: readonly RegExp[]; packages: RegExp }[] = [
  { files: /^protocol\//, folders: [/^protocol\//], packages: /^$/ },
  { files: /^config\//, folders: [/^config\//], packages: /^$/ },
  { files: /^client\//, folders: [/^client\//, /^protocol\//], packages: /^node:/ },
  {
    files: /^lambdas\/core\//,
    folders: [/^lambdas\/core\//, /^protocol\//],
    packages: /^(node:crypto|canonicalize|valibot|jose)$/,
  },
  {
    files: /^lambdas\/store\//,
    folders: [/^lambdas\/(core|store)\//, /^protocol\//],
    packages: /^(node:|@aws-sdk\/|@smithy\/)/,
  },
  { files: /^lambdas\//, folders: [/^lambdas\//, /^protocol\//, /^docs\/openapi\.yaml$/], packages: /./ },
  {
    files: /^lib\//,
    folders: [/^lib\//, /^config\//, /^protocol\//],
    packages: /^(node:|aws-cdk-lib|constructs|cdk-nag)/,
  },
  { files: /^bin\//, folders: [/^bin\//, /^lib\//, /^config\//, /^protocol\//], packages: /./ },
  {
    files: /^rehearsal\//,
    folders: [/^rehearsal\//, /^client\//, /^protocol\//, /^config\//],
    packages: /./,
  },
  // What is measured in process: how a restore reads and writes, and how the verification reads.
  {
    files: /^bench\/restore[./]/,
    folders: [
      ...BENCH_FOLDERS,
      /^bin\/(buckets|restore\/(inventory|sinks|states|target))\.ts$/,
      /^lambdas\/file-reading\.ts$/,
    ],
    packages: /./,
  },
  { files: /^bench\//, folders: BENCH_FOLDERS, packages: /./ },
];

const sources = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(ROOT, path)))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

function importsOf(text: string): readonly string[] {
  const static_ = text.matchAll(/^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm);
  const bare = text.matchAll(/^\s*import\s*['"]([^'"]+)['"]/gm);
  const dynamic = text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g);
  return [...static_, ...bare, ...dynamic].map((match) => match[1] as string);
}

test('imports follow the direction of the layers', () => {
  const broken: string[] = [];
  for (const { path, text } of sources) {
    const rule = RULES.find(({ files }) => files.test(path));
    if (!rule) continue;
    for (const specifier of importsOf(text)) {
      const target = specifier.startsWith('.')
        ? normalize(join(dirname(path), specifier))
            .split(sep)
            .join('/')
        : undefined;
      const allowed =
        target === undefined
          ? rule.packages.test(specifier)
          : rule.folders.some((folder) => folder.test(target));
      if (!allowed) broken.push(`${path} imports ${specifier}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('nothing outside test/ imports a test', () => {
  const broken = sources
    .filter(({ path }) => !path.startsWith('test/'))
    .flatMap(({ path, text }) =>
      importsOf(text)
        .filter((specifier) => normalize(join(dirname(path), specifier)).startsWith('test/'))
        .map((specifier) => `${path} imports ${specifier}`),
    );
  assert.deepEqual(broken, []);
});

test('only lambdas/env.ts reads the environment of a function', () => {
  const readers = sources
    .filter(({ path, text }) => path.startsWith('lambdas/') && /\bprocess\.env\b/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(readers, ['lambdas/env.ts']);
});

test('pure cores take time and randomness as arguments', () => {
  const impure = sources
    .filter(({ path }) => path.startsWith('lambdas/core/') || path.startsWith('protocol/'))
    .filter(({ text }) => /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(impure, []);
});

test(`no file is longer than ${LINES_MAX} lines`, () => {
  const long = sources
    .map(({ path, text }) => ({ path, lines: text.split('\n').length }))
    .filter(({ lines }) => lines > LINES_MAX)
    .map(({ path, lines }) => `${path}: ${lines}`);
  assert.deepEqual(long, []);
});

test('no file is a drawer of odds and ends', () => {
  const drawers = sources
    .map(({ path }) => path)
    .filter((path) => /(utils?|helpers?|common|misc)\.ts$/.test(path));
  assert.deepEqual(drawers, []);
});

test('every source file opens by saying what it is for', () => {
  const silent = sources
    .filter(({ path }) => RULES.some(({ files }) => files.test(path)))
    .filter(({ text }) => !/^(#!.*\n)?(\/\/|\/\*\*)/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(silent, []);
});
