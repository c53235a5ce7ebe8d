// The CDK app of one stage: `cdk synth -c stage=prod`. Needs no credentials and looks nothing up. Says on stderr which
// promises the stage does not keep.
// `-c validate=false` leaves out CDK's own check of the templates, for a quicker synth.
import { ConfigError, defineConfig } from '../config/config.ts';
import { promisesNotKeptText } from '../config/promises-kept.ts';
import { RecoveryError } from '../config/recovery.ts';
import { STAGES } from '../config/stages.ts';
import { buildApp } from '../lib/app.ts';
import { RetentionError, synthesizeKept } from '../lib/retention.ts';

const DEFAULT_STAGE = 'dev';

/** What the CDK CLI was given with `-c`; nothing when the app is run by itself. */
function cliContext(): Readonly<Record<string, unknown>> {
  return JSON.parse(process.env['CDK_CONTEXT_JSON'] ?? '{}');
}

function main(): void {
  const { stage = DEFAULT_STAGE, validate = 'true' } = cliContext();
  const name = String(stage);
  const raw = Object.hasOwn(STAGES, name) ? STAGES[name] : undefined;
  if (!raw) throw new ConfigError(name, '-c stage', `one of ${Object.keys(STAGES).join(', ')}`, name);
  const config = defineConfig(name, raw);
  synthesizeKept(buildApp(config, { validate: String(validate) !== 'false' }).app, config);
  process.stderr.write(promisesNotKeptText(config) ?? '');
}

try {
  main();
} catch (error) {
  const explained = [ConfigError, RecoveryError, RetentionError].some((known) => error instanceof known);
  if (!(error instanceof Error) || !explained) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
