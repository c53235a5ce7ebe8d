// The stage somebody named on a command line: its checked configuration, or an error that lists the stages there are.
import { type Config, defineConfig } from '../../config/config.ts';
import { STAGES } from '../../config/stages.ts';

export const STAGE_DEFAULT = 'dev';

/** Throws a `RangeError` for a stage that is not configured, or that the rehearsal cannot play. */
export function stageConfig(stage: string = STAGE_DEFAULT): Config {
  const raw = Object.hasOwn(STAGES, stage) ? STAGES[stage] : undefined;
  if (!raw) throw new RangeError(`a stage is one of ${Object.keys(STAGES).join(', ')}, got "${stage}"`);
  if (raw.consistency !== 'strong')
    throw new RangeError(
      `the rehearsal plays three strongly consistent replicas, got stage "${stage}" with ${raw.consistency} ` +
        'consistency (docs/GOVCLOUD.md says what shows that one)',
    );
  return defineConfig(stage, raw);
}
