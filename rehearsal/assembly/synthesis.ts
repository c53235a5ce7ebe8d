// The cloud assembly of a stage, synthesized when it is missing or older than what it is made of. It stands in
// `.cache/`, apart from `cdk.out`, so that `npx cdk synth` of another stage or a half-written one never changes what a
// rehearsal plays.
import { spawn } from 'node:child_process';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
/** Whatever a template or a bundle can depend on. */
const SOURCES = [
  'bin',
  'config',
  'docs/openapi.yaml',
  'lambdas',
  'lib',
  'protocol',
  'cdk.json',
  'package-lock.json',
];
const MANIFEST = 'manifest.json';
const LAST_CHARS = 4_000;

export interface SynthesisOptions {
  readonly onStep?: (step: string) => void;
  readonly signal?: AbortSignal;
}

/** The stage's assembly directory, up to date. Rejects with what the app said when it cannot be synthesized. */
export async function assemblyOf(stage: string, options: SynthesisOptions = {}): Promise<string> {
  const { onStep = () => undefined, signal } = options;
  const directory = join(ROOT, '.cache', `cdk.out-${stage}`);
  if ((await modified(join(directory, MANIFEST))) > (await newest(SOURCES.map((path) => join(ROOT, path)))))
    return directory;
  onStep('synthesizing the stacks');
  // Beside it first: what stands there is complete at any time, and so is what another process puts there.
  const draft = `${directory}.${process.pid}`;
  const old = `${draft}.old`;
  try {
    await runApp(stage, draft, signal);
    await rename(directory, old).catch(ifMissing);
    await rename(draft, directory);
  } finally {
    for (const left of [draft, old]) await rm(left, { recursive: true, force: true });
  }
  return directory;
}

/** The app by itself, as the CDK CLI would start it; the check of the templates is left to `npm run synth`. */
async function runApp(stage: string, outputDir: string, signal?: AbortSignal): Promise<void> {
  const { context = {} } = JSON.parse(await readFile(join(ROOT, 'cdk.json'), 'utf8')) as { context?: object };
  const child = spawn(process.execPath, [join('bin', 'app.ts')], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal ? { signal } : {}),
    env: {
      ...process.env,
      CDK_OUTDIR: outputDir,
      CDK_CONTEXT_JSON: JSON.stringify({ ...context, stage, validate: 'false' }),
    },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-LAST_CHARS);
    });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`the stacks of stage ${stage} could not be synthesized:\n${said.trim()}`);
}

/** Unix ms of the last change of a file; 0 when there is none. */
async function modified(path: string): Promise<number> {
  const found = await stat(path).catch(ifMissing);
  return found?.mtimeMs ?? 0;
}

/** Of all files below, directories included, since removing a file changes only its directory. */
async function newest(paths: readonly string[]): Promise<number> {
  let latest = 0;
  for (const path of paths) {
    const found = await stat(path).catch(ifMissing);
    if (!found) continue;
    latest = Math.max(latest, found.mtimeMs);
    if (found.isDirectory())
      latest = Math.max(latest, await newest((await readdir(path)).map((name) => join(path, name))));
  }
  return latest;
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
