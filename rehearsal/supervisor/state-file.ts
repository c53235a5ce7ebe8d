// The word a rehearsal leaves of itself in a file, so that operators' commands find its table, its regions and its
// resolver.
import { PATHS } from '../../protocol/messages.ts';
import type { Rehearsal } from './rehearsal.ts';

/** One line of JSON, as `bin/` reads it. */
export function stateFileOf(rehearsal: Rehearsal): string {
  const { deployment, clockAheadMs, table, console: url, resolver, failoverName, aws, regions } = rehearsal;
  const { endpoint, accessKeyId, secretAccessKey } = aws;
  const state = {
    pid: process.pid,
    stage: deployment.stage,
    clockAheadMs,
    table,
    console: url,
    resolver,
    failoverName,
    aws: { endpoint, accessKeyId, secretAccessKey },
    regions: regions.map(({ region, role, endpoint: served }) => ({
      region,
      role,
      ...(served === undefined
        ? {}
        : { endpoint: served, health: served + PATHS.health, ready: served + PATHS.ready }),
    })),
  };
  return `${JSON.stringify(state)}\n`;
}
