// express-pouchdb with its databases in memory, without its pages and its log.
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirePeer } from '../peers.ts';
import { serveParent } from '../processes.ts';
import { IDLE_CONNECTION_MS, type ServiceAnswers } from './peer-service.ts';

serveParent<ServiceAnswers, object>(async () => {
  // It keeps files of its own beside its databases.
  const folder = mkdtempSync(join(tmpdir(), 'eden-field-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  process.on('SIGTERM', () => process.exit());
  process.chdir(folder);
  const PouchDB = requirePeer('pouchdb');
  PouchDB.plugin(requirePeer('pouchdb-adapter-memory'));
  const inMemory = PouchDB.defaults({ adapter: 'memory' });
  const options = { inMemoryConfig: true, logPath: join(folder, 'log'), mode: 'minimumForPouchDB' };
  const app = requirePeer('express')();
  app.use(requirePeer('express-pouchdb')(inMemory, options));
  const server: Server = await new Promise((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening));
  });
  server.keepAliveTimeout = IDLE_CONNECTION_MS;
  return { port: async () => (server.address() as AddressInfo).port };
});
