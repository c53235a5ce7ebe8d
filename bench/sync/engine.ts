// The table that both sides of a comparison write to: the rehearsal's AWS as the assembly describes it, without the
// delays between its regions. Counts what it is asked, at its door.
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { readDeployment } from '../../rehearsal/assembly/assembly.ts';
import { startAws } from '../../rehearsal/aws/aws.ts';
import { serveParent } from '../processes.ts';

export interface EngineAnswers {
  readonly endpoint: string;
  /** Requests since the last time, by operation. */
  readonly calls: Readonly<Record<string, number>>;
  /** Every table loses all it has. */
  readonly wipe: null;
}

serveParent<EngineAnswers, { readonly assemblyDir: string }>(async ({ assemblyDir }) => {
  let calls: Record<string, number> = {};
  subscribe('http.server.request.start', (message) => {
    const { request } = message as { readonly request: IncomingMessage };
    const operation = String(request.headers['x-amz-target'] ?? request.method)
      .split('.')
      .at(-1) as string;
    calls[operation] = (calls[operation] ?? 0) + 1;
  });
  const aws = await startAws({ deployment: readDeployment(assemblyDir) });
  return {
    endpoint: async () => aws.endpoint,
    async calls() {
      const counted = calls;
      calls = {};
      return counted;
    },
    async wipe() {
      for (const table of aws.tables.values()) await table.wipe();
      return null;
    },
  };
});
