// The app as the CDK CLI runs it: a process with a context, no credentials, and one clear line when it cannot go on.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');

function runApp(context: Readonly<Record<string, unknown>>) {
  return spawnSync(process.execPath, ['bin/app.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], CDK_CONTEXT_JSON: JSON.stringify(context) },
  });
}

test('an unknown stage ends it with one line that lists the stages', () => {
  for (const stage of ['staging', 'constructor', '__proto__', '']) {
    const { status, stderr } = runApp({ stage });
    assert.equal(status, 1, stage);
    assert.equal(
      stderr,
      `stage ${stage}: -c stage: expected one of dev, prod, gov, got ${JSON.stringify(stage)}\n`,
    );
  }
});
