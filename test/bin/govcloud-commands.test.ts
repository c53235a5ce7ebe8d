// The commands of docs/GOVCLOUD.md, as they stand there: each must say which stage it means, and where its Regions answer,
// since no name of the stage leads to them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseArgs } from 'node:util';
import { WHERE_OPTIONS, whereFrom } from '../../bin/routing/where.ts';

const GUIDE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'GOVCLOUD.md'), 'utf8');
const [, BLOCK = ''] = /```sh\n(.*?)```/s.exec(GUIDE) ?? [];
const LINES = BLOCK.trim().split('\n');

/** Words as a shell makes them of a line, its variables filled in. */
function wordsOf(line: string, variables: ReadonlyMap<string, string>): readonly string[] {
  const filled = line.replace(/\$([A-Z]+)/g, (_, name: string) => variables.get(name) ?? assert.fail(name));
  return [...filled.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

test('every command of the GovCloud guide names the stage and, where it looks at them, both Regions', async () => {
  const variables = new Map(
    LINES.flatMap((line) => {
      const [, name, value] = /^([A-Z]+)=(\S+)$/.exec(line) ?? [];
      return name && value ? [[name, value] as const] : [];
    }),
  );
  const commands = LINES.filter((line) => line.startsWith('npm run '));
  assert.deepEqual(
    [...new Set(commands.map((line) => line.split(' ')[2]))],
    ['open', 'status', 'evacuate', 'failback', 'audit'],
  );
  for (const line of commands) {
    const [, , command = '', , ...args] = wordsOf(line, variables);
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...WHERE_OPTIONS, reason: { type: 'string' }, region: { type: 'string' } },
      allowPositionals: true,
    });
    assert.equal(values.stage, 'gov', line);
    if (command === 'open' || command === 'audit') continue;
    const where = await whereFrom(values);
    assert.deepEqual(
      where?.regions.map(({ region, ready }) => [region, ready]),
      ['us-gov-west-1', 'us-gov-east-1'].map((region) => [
        region,
        `https://API_ID.execute-api.${region}.amazonaws.com/live/ready`,
      ]),
      line,
    );
    if (command !== 'status') assert.ok(values.reason, `${line}: an operator says why`);
    assert.deepEqual(positionals, command === 'evacuate' ? ['us-gov-west-1'] : [], line);
  }
  const elsewhere = GUIDE.replace(BLOCK, '').match(
    /npm run (?:status|evacuate|failback|open)\b(?!.*--stage gov)/g,
  );
  assert.deepEqual(elsewhere, null, 'none is named without its options');
});
