// A device with PouchDB, in touch with the service before: its notes in LevelDB on disk, replicated as PouchDB does by
// default, over kept connections.
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirePeer } from '../peers.ts';
import { serveParent } from '../processes.ts';
import type { DeviceAnswers, Errand } from './library-device.ts';
import { idOf, noteOf } from './operations.ts';

/** As far as it is used. */
interface Pouch {
  bulkDocs(docs: readonly object[]): Promise<unknown>;
  close(): Promise<void>;
  readonly replicate: { to(target: Pouch): Promise<{ readonly docs_written: number }> };
}
interface PouchDB {
  new (name: string, options?: object): Pouch;
  fetch(url: string, options: object): Promise<unknown>;
}

serveParent<DeviceAnswers, object>(async () => {
  const PouchDB: PouchDB = requirePeer('pouchdb');
  const agent = new Agent({ keepAlive: true });
  const fetch = (url: string, options: object) => PouchDB.fetch(url, { ...options, agent });
  return {
    async deliver({ url, run, notes }: Errand) {
      const folder = mkdtempSync(join(tmpdir(), 'eden-field-bench-'));
      const local = new PouchDB(join(folder, 'notes'));
      const remote = new PouchDB(`${url}/notes-${run}`, { fetch });
      try {
        await local.bulkDocs([{ _id: `${run}-first`, ...noteOf(0) }]);
        await local.replicate.to(remote);
        await local.bulkDocs(Array.from({ length: notes }, (_, n) => ({ _id: idOf(run, n), ...noteOf(n) })));
        const started = performance.now();
        const { docs_written: written } = await local.replicate.to(remote);
        const tookMs = performance.now() - started;
        if (written !== notes) throw new Error(`expected ${notes} notes to be written, got ${written}`);
        return tookMs;
      } finally {
        await Promise.all([local.close(), remote.close()]);
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
});
