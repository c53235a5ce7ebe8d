// A device with our client library, in touch with the service before: edits wait in its queue file on disk, then all
// of them are to reach the service.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSyncClient } from '../../client/index.ts';
import { serveParent } from '../processes.ts';
import { COLLECTION, idOf, noteOf } from './operations.ts';

/** Where the service is, and how much waits for it. */
export interface Errand {
  readonly url: string;
  /** Different every time: no note is written twice. */
  readonly run: string;
  readonly notes: number;
  /** Where the service asks for one. */
  readonly token?: string;
}

export interface DeviceAnswers {
  /** Milliseconds from the decision to send until every note is acknowledged. */
  readonly deliver: number;
}

serveParent<DeviceAnswers, object>(async () => ({
  async deliver({ url, run, notes, token = '' }: Errand) {
    const folder = mkdtempSync(join(tmpdir(), 'eden-field-bench-'));
    const path = join(folder, 'queue.db');
    const client = await openSyncClient({
      path,
      endpoints: [url],
      token: async () => token,
      autoSync: false,
    });
    try {
      await client.put(COLLECTION, `${run}-first`, noteOf(0));
      await client.flush();
      for (let index = 0; index < notes; index++)
        await client.put(COLLECTION, idOf(run, index), noteOf(index));
      const started = performance.now();
      const { applied } = await client.flush();
      const tookMs = performance.now() - started;
      if (applied !== notes) throw new Error(`expected ${notes} notes to be applied, got ${applied}`);
      return tookMs;
    } finally {
      await client.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
}));
