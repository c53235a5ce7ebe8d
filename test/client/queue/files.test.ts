// The queue on real files: the lock, the mark, foreign and future files, a full disk, and what recovery by hand saves.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import {
  QueueCorruptError,
  QueueDiskError,
  QueueFullError,
  QueueLockedError,
  QueueVersionError,
} from '../../../client/queue/errors.ts';
import { openSqliteDisk, PAGE_BYTES } from '../../../client/queue/sqlite-disk.ts';
import { openQueueFile, recoverQueueFile } from '../../../client/queue.ts';
import { folderOf, settleNext } from './queues.ts';
import { TYPESCRIPT_FLAGS } from './typescript.ts';

function put(id: string, payload: string) {
  return { kind: 'put', collection: 'notes', id, payload } as const;
}

async function filled(t: TestContext, count: number): Promise<string> {
  const path = join(folderOf(t), 'queue.db');
  const queue = openQueueFile({ path, reserveBytes: 0 });
  await Promise.all(Array.from({ length: count }, (_, n) => queue.append(put(`n${n}`, `payload ${n}`))));
  queue.close();
  return path;
}

test('a file is open once: this process and any other are told so', async (t) => {
  const path = await filled(t, 1);
  const queue = openQueueFile({ path });
  assert.throws(() => openQueueFile({ path }), QueueLockedError);
  const module = join(import.meta.dirname, '../../../client/queue.ts');
  const other = `import { openQueueFile } from ${JSON.stringify(module)};
    try { openQueueFile({ path: ${JSON.stringify(path)} }); } catch (error) { console.log(error.code); }`;
  const { stdout } = spawnSync(process.execPath, [...TYPESCRIPT_FLAGS, '--input-type=module', '-e', other], {
    encoding: 'utf8',
  });
  assert.equal(stdout.trim(), 'QUEUE_LOCKED');
  queue.close();
  openQueueFile({ path }).close();
});

test('a closed file is one database and its mark: the log is gone, the reserve stays', async (t) => {
  const path = await filled(t, 3);
  openQueueFile({ path }).close();
  assert.deepEqual(readdirSync(join(path, '..')).sort(), ['queue.db', 'queue.db-mark', 'queue.db-reserve']);
});

test('a file of a later release is refused, with both numbers', async (t) => {
  const path = await filled(t, 1);
  const db = new DatabaseSync(path);
  db.exec('PRAGMA user_version = 9');
  db.close();
  assert.throws(
    () => openQueueFile({ path }),
    (error) => error instanceof QueueVersionError && error.expected === 1 && error.got === 9,
  );
});

test('another database is not taken for a queue', async (t) => {
  const path = join(folderOf(t), 'other.db');
  const db = new DatabaseSync(path);
  db.exec('CREATE TABLE people (name TEXT)');
  db.close();
  assert.throws(() => openQueueFile({ path }), QueueCorruptError);
  writeFileSync(path, 'this is no database, it is a letter to my aunt'.repeat(100));
  assert.throws(() => openQueueFile({ path }), QueueCorruptError);
});

test('a folder that is not there is a disk error', (t) => {
  assert.throws(() => openQueueFile({ path: join(folderOf(t), 'no', 'queue.db') }), QueueDiskError);
});

test('a mark without its file, an emptied file and a file without its mark are damage', async (t) => {
  const path = await filled(t, 5);
  const whole = readFileSync(path);
  rmSync(path);
  assert.throws(() => openQueueFile({ path }), /the file is empty, but 5 operations were acknowledged/);
  writeFileSync(path, '');
  assert.throws(() => openQueueFile({ path }), QueueCorruptError);
  writeFileSync(path, whole);
  openQueueFile({ path }).close();
  rmSync(`${path}-mark`);
  assert.throws(() => openQueueFile({ path }), /mark is missing/);
});

test('an older copy of the file beside the newer mark is damage: acknowledged commits are missing', async (t) => {
  const path = await filled(t, 5);
  copyFileSync(path, `${path}.old`);
  const queue = openQueueFile({ path });
  await queue.append(put('n9', 'later'));
  queue.close();
  copyFileSync(`${path}.old`, path);
  assert.throws(() => openQueueFile({ path }), /with operations up to 6; the file ends at .* operation 5/);
});

test('an old copy of one page is damage, though every row on it proves itself', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const queue = openQueueFile({ path, reserveBytes: 0 });
  await Promise.all(Array.from({ length: 300 }, (_, n) => queue.append(put(`n${n}`, 'x'.repeat(100)))));
  queue.close();
  const before = readFileSync(path);
  const settling = openQueueFile({ path, reserveBytes: 0 });
  while (settling.pending > 0) settleNext(settling);
  settling.close();
  const after = readFileSync(path);
  let refused = 0;
  for (let at = 0; at < before.length; at += PAGE_BYTES) {
    const page = before.subarray(at, at + PAGE_BYTES);
    if (page.equals(after.subarray(at, at + PAGE_BYTES))) continue;
    writeFileSync(path, Buffer.concat([after.subarray(0, at), page, after.subarray(at + PAGE_BYTES)]));
    // The file header alone may be old: it says nothing the rest does not.
    if (at > 0)
      assert.throws(() => openQueueFile({ path, reserveBytes: 0 }), QueueCorruptError, `page at ${at}`);
    refused++;
  }
  assert.ok(refused > 2);
});

test('recovery by hand saves all that is proved, quarantines what is not, lists the rest and leaves the file alone', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const queue = openQueueFile({ path, reserveBytes: 0 });
  for (let group = 0; group < 5; group++)
    await Promise.all(
      Array.from({ length: 10 }, (_, n) => queue.append(put(`g${group}-${n}`, 'x'.repeat(50)))),
    );
  const { fileId } = queue;
  settleNext(queue);
  queue.close();
  const bytes = readFileSync(path);
  for (let at = bytes.indexOf('notes\tg2-3'); at > 0; at = bytes.indexOf('notes\tg2-3'))
    bytes.write('nodes', at);
  writeFileSync(path, bytes);
  assert.throws(
    () => openQueueFile({ path }),
    (error) =>
      error instanceof QueueCorruptError &&
      error.findings.some(({ what }) => what === 'operations 21 to 30 do not match their seal'),
  );
  const recovery = recoverQueueFile(path, `${path}.new`);
  assert.deepEqual(readFileSync(path), bytes);
  // The batch settled all 50: what is proved is kept, the damaged group was settled and needs no saving.
  assert.equal(recovery.kept, 40);
  assert.equal(recovery.pending, 0);
  const saved = openQueueFile({ path: `${path}.new` });
  assert.equal(saved.fileId, fileId);
  assert.equal(saved.kept, 40);
  assert.equal(saved.cursor, null);
  saved.close();
  assert.throws(() => recoverQueueFile(path, `${path}.new`), QueueDiskError);
  assert.deepEqual(
    readdirSync(join(path, '..')).filter((name) => /salvage|part/.test(name)),
    [],
  );
});

test('a damaged log loses no commit behind the damage to recovery by hand', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const queue = openQueueFile({ path, reserveBytes: 0 });
  for (let n = 0; n < 30; n++) await queue.append(put(`n${n}`, `payload ${n} ${'x'.repeat(500)}`));
  for (const suffix of ['', '-wal', '-mark']) copyFileSync(path + suffix, `${path}.copy${suffix}`);
  queue.close();
  const copy = `${path}.copy`;
  const wal = readFileSync(`${copy}-wal`);
  wal.write('X', wal.indexOf('payload 7 ') + 20);
  writeFileSync(`${copy}-wal`, wal);
  assert.throws(() => openQueueFile({ path: copy }), /was acknowledged, with operations up to 30/);
  // Looking at it, twice, gave nothing up: SQLite would have removed the log with the commits behind the damage.
  assert.throws(() => openQueueFile({ path: copy }), QueueCorruptError);
  assert.deepEqual(readFileSync(`${copy}-wal`), wal);
  // Killed before it could put the log back: the next one does.
  renameSync(`${copy}-wal`, `${copy}-wal-copy`);
  assert.throws(() => openQueueFile({ path: copy }), QueueCorruptError);
  assert.deepEqual(readFileSync(`${copy}-wal`), wal);
  assert.equal(existsSync(`${copy}-wal-copy`), false);
  const recovery = recoverQueueFile(copy, `${path}.new`);
  assert.equal(recovery.pending + recovery.unproven, 30);
  assert.ok(recovery.unproven <= 1, `expected one operation unproved, got ${recovery.unproven}`);
});

test('a log damaged behind the mark is found after an unclean end, before anything is changed', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const queue = openQueueFile({ path, reserveBytes: 0 });
  for (let n = 0; n < 5; n++) await queue.append(put(`n${n}`, 'x'));
  for (const suffix of ['', '-wal', '-mark']) copyFileSync(path + suffix, `${path}.copy${suffix}`);
  queue.close();
  rmSync(`${path}.copy-wal`);
  assert.throws(() => openQueueFile({ path: `${path}.copy` }), QueueCorruptError);
});

test('without room in the database new work is refused, settling goes on and makes room', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const disk = { reserveBytes: 0, pagesMax: 60 };
  const queue = openQueueFile({ path, keptBytesMax: 0, ...disk });
  let taken = 0;
  const fill = async () => {
    for (;;) await queue.append(put(`n${taken % 5}`, 'x'.repeat(2_000))).then(() => taken++);
  };
  await assert.rejects(fill(), (error) => error instanceof QueueFullError && error.reason === 'disk');
  assert.ok(taken > 50);
  assert.equal(queue.pending, taken);
  queue.verify();
  while (queue.pending > 0) settleNext(queue);
  await queue.append(put('n0', 'again'));
  queue.verify();
  queue.close();
  const after = openQueueFile({ path, ...disk });
  assert.equal(after.recovered, 1);
  after.close();
});

test('on a full disk nothing acknowledged is lost, and the reserve lets settling go on', async (t) => {
  const folder = join(folderOf(t), 'disk');
  mkdirSync(folder);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=26m', 'tmpfs', folder]).status !== 0) {
    t.skip('a file system of its own needs root');
    return;
  }
  try {
    await fillAndSettle(join(folder, 'queue.db'));
  } finally {
    execFileSync('umount', ['-l', folder]);
  }
});

async function fillAndSettle(path: string): Promise<void> {
  const payload = 'x'.repeat(50_000);
  const warnings: string[] = [];
  const options = { path, onWarning: (warning: { reason: string }) => warnings.push(warning.reason) };
  const queue = openQueueFile(options);
  let taken = 0;
  const fill = async () => {
    for (;;) await queue.append(put(`n${taken}`, payload)).then(() => taken++);
  };
  await assert.rejects(fill(), (error) => error instanceof QueueFullError && error.reason === 'disk');
  assert.ok(taken > 50, `expected over 50 edits to fit, got ${taken}`);
  assert.equal(queue.get('notes', `n${taken - 1}`)?.pending, true);
  while (queue.pending > taken / 2) settleNext(queue);
  const { pending } = queue;
  assert.equal(existsSync(`${path}-reserve`), false, 'settling took the room kept back for it');
  await assert.rejects(queue.append(put('more', payload)), QueueFullError);
  queue.verify();
  queue.close();
  const after = openQueueFile(options);
  assert.equal(after.recovered, pending);
  for (let n = 0; n < taken; n++) assert.equal(after.get('notes', `n${n}`)?.payload, payload);
  while (after.pending > 0) settleNext(after);
  after.verify();
  after.close();
  assert.deepEqual(warnings, ['disk'], 'once, and not again after settling made room');
}

test('a drained queue gives its room back to the disk', async (t) => {
  const path = join(folderOf(t), 'queue.db');
  const queue = openQueueFile({ path, reserveBytes: 0, keptBytesMax: 0 });
  for (let round = 0; round < 12; round++)
    await Promise.all(Array.from({ length: 10 }, (_, n) => queue.append(put(`n${n}`, 'x'.repeat(50_000)))));
  while (queue.pending > 0) settleNext(queue);
  queue.compact();
  queue.close();
  assert.ok(statSync(path).size < 2 * 1024 ** 2, `expected under 2 MB, got ${statSync(path).size} bytes`);
});

test('the disk can be told apart from its rows: a second opening of a closed disk is fine', async (t) => {
  const path = await filled(t, 2);
  const disk = openSqliteDisk(path, { reserveBytes: 0 });
  assert.equal([...disk.readGroups()].length, 1);
  assert.deepEqual(disk.check(), []);
  disk.close();
});
