// `npm run token`: prints a token for a running rehearsal, and nothing else on standard output.
import { parseArgs } from 'node:util';
import { ALL_SCOPES, signingKey, signToken } from './supervisor/keys.ts';
import { STAGE_DEFAULT, stageConfig } from './supervisor/stage.ts';

const USAGE = `npm run token -- [--tenant demo] [--scope "${ALL_SCOPES.join(' ')}"] [--ttl 3600] [--stage ${STAGE_DEFAULT}]
  --tenant  whose records it opens
  --scope   what it allows, separated by spaces or commas
  --ttl     seconds until it expires`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tenant: { type: 'string', default: 'demo' },
      scope: { type: 'string', default: ALL_SCOPES.join(' ') },
      ttl: { type: 'string', default: '3600' },
      stage: { type: 'string', default: STAGE_DEFAULT },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.error(USAGE);
    return;
  }
  const { issuer, audience } = stageConfig(values.stage).auth;
  const token = await signToken(await signingKey(), {
    issuer,
    audience,
    tenant: values.tenant,
    scopes: values.scope.split(/[\s,]+/).filter(Boolean),
    // Number('') is 0 and Number('1e3') is 1000: only plain digits are what somebody meant.
    ttlS: /^\d+$/.test(values.ttl) ? Number(values.ttl) : Number.NaN,
  });
  process.stdout.write(`${token}\n`);
}

try {
  await main();
} catch (error) {
  console.error(`token: ${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exitCode = 1;
}
