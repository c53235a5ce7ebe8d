// What a writing process told its disk, in order: writes, truncations, syncs, names made and removed, and in between
// what it told its user. Recorded from the system calls of the real process where strace is installed; elsewhere put
// together from copies of the files taken between commits, with SQLite's own documented order of writes and syncs
// (https://sqlite.org/atomiccommit.html, https://sqlite.org/wal.html) assumed instead of observed.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PAGE_BYTES } from '../../../client/queue/sqlite-disk.ts';
import { openQueueFile } from '../../../client/queue.ts';
import { TYPESCRIPT_FLAGS } from './typescript.ts';
import { SAYS } from './witness.ts';

export type DiskEvent =
  | { readonly what: 'write'; readonly file: string; readonly offset: number; readonly data: Buffer }
  | { readonly what: 'truncate'; readonly file: string; readonly size: number }
  | { readonly what: 'sync'; readonly file: string }
  | { readonly what: 'create' | 'remove'; readonly file: string }
  /** The folder: names made and removed are durable. */
  | { readonly what: 'sync-names' }
  /** Before this, no plug is pulled. */
  | { readonly what: 'made' }
  | { readonly what: 'said'; readonly text: string };

const CALLS = 'openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink';

export function isStraceInstalled(): boolean {
  return spawnSync('strace', ['-V']).status === 0;
}

/** Files are named by their base name. */
export function recordWriter(path: string, edits: number, logPages: number): DiskEvent[] {
  const trace = `${path}.trace`;
  const strace = ['-f', '-qq', '-y', '-xx', '-s', '200000', '-e', `trace=${CALLS}`, '-o', trace];
  const script = [...TYPESCRIPT_FLAGS, join(import.meta.dirname, 'writer.ts')];
  const writer = [...script, path, '1', String(edits), String(logPages)];
  const { status, stderr } = spawnSync('strace', [...strace, process.execPath, ...writer], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the recorded writer failed: ${stderr}`);
  return wholeLines(readFileSync(trace, 'utf8').split('\n')).flatMap((line) => eventOf(line, path) ?? []);
}

/**
 * strace cuts a call in two when another thread's comes in between: `7 fsync(3 <unfinished ...>`, `7 <... fsync resumed>)
 * = 0`. Joined again, where they ended: a call that has not returned has promised nothing.
 */
export function wholeLines(lines: readonly string[]): string[] {
  const begun = new Map<string, string>();
  return lines.flatMap((line) => {
    const thread = /^\d+/.exec(line)?.[0] ?? '';
    if (line.endsWith(' <unfinished ...>')) {
      begun.set(thread, line.slice(0, -' <unfinished ...>'.length));
      return [];
    }
    const rest = /^\d+ +<\.\.\. \w+ resumed>(.*)$/.exec(line)?.[1];
    if (rest === undefined) return [line];
    const start = begun.get(thread);
    begun.delete(thread);
    if (start === undefined) throw new Error(`expected the start of a call before ${line.slice(0, 80)}`);
    return [start + rest];
  });
}

function eventOf(line: string, path: string): DiskEvent | undefined {
  const call = /^\d+ +(\w+)\((.*)\) += (\d+)/.exec(line);
  if (call === null) return undefined;
  const [, name = '', given = ''] = call;
  const strings = [...given.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => bytesOf(hex));
  const target = (/^\d+<((?:\\x[0-9a-f]{2})*)>/.exec(given)?.[1] ?? '') as string;
  const file = bytesOf(target).toString();
  if (name === 'write' && given.startsWith('1<')) return { what: 'said', text: String(strings[0]) };
  if (name === 'openat' || name === 'unlink') return nameEvent(name, String(strings.at(-1)), given, path);
  if (file === dirname(path)) return name.endsWith('sync') ? { what: 'sync-names' } : undefined;
  if (!file.startsWith(path)) return undefined;
  const numbers = given.match(/\d+/g)?.map(Number) ?? [];
  switch (name) {
    case 'pwrite64':
      return { what: 'write', file: basename(file), offset: numbers.at(-1) ?? 0, data: strings[0] as Buffer };
    case 'ftruncate':
      return { what: 'truncate', file: basename(file), size: numbers.at(-1) ?? 0 };
    case 'fsync':
    case 'fdatasync':
      return { what: 'sync', file: basename(file) };
    default:
      throw new Error(`expected only positioned writes to the queue's files, got ${line.slice(0, 80)}`);
  }
}

function nameEvent(name: string, file: string, given: string, path: string): DiskEvent | undefined {
  if (!file.startsWith(path) || file.endsWith('.trace')) return undefined;
  if (name === 'unlink') return { what: 'remove', file: basename(file) };
  return given.includes('O_CREAT') ? { what: 'create', file: basename(file) } : undefined;
}

function bytesOf(escaped: string): Buffer {
  return Buffer.from(escaped.replaceAll('\\x', ''), 'hex');
}

const FRAME_BYTES = PAGE_BYTES + 24;
const WAL_HEADER_BYTES = 32;

/** The same life as {@link recordWriter}'s, in this process, its writes found by comparing the files. */
export async function reconstructWriter(path: string, edits: number, logPages: number): Promise<DiskEvent[]> {
  const queue = openQueueFile({ path, reserveBytes: 0, keptBytesMax: 2_000, logPagesMax: logPages });
  const events: DiskEvent[] = [];
  let before = new Map<string, Buffer>();
  const look = () => {
    const after = filesOf(path);
    events.push(...changes(before, after));
    before = after;
  };
  // Making the file is not looked into here: all of it is there and durable.
  look();
  events.push({ what: 'sync-names' }, { what: 'made' });
  for (let number = 1; number <= edits; number++) {
    const id = `n${number % 7}`;
    events.push({ what: 'said', text: SAYS.begin(number, id) });
    const { session, sequence } = await queue.append({
      kind: 'put',
      collection: 'notes',
      id,
      payload: number,
    });
    look();
    events.push({ what: 'said', text: SAYS.taken(number, session, sequence) });
    const batch = number % 4 === 0 ? queue.nextBatch({ operationsMax: 3 }) : undefined;
    if (batch === undefined) continue;
    events.push({ what: 'said', text: batch.operations.map(SAYS.settle).join('') });
    const verdicts = batch.operations.map(
      (it) =>
        ({ session: it.session, sequence: it.sequence, verdict: 'applied', version: it.version }) as const,
    );
    queue.settle({ verdicts, restoreEpoch: 0 });
    queue.release(batch);
    look();
    events.push({ what: 'said', text: batch.operations.map(SAYS.settled).join('') });
  }
  queue.close();
  return events;
}

function filesOf(path: string): Map<string, Buffer> {
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)));
  return new Map(names.map((name) => [name, readFileSync(join(dirname(path), name))]));
}

/** The log is written and synced, then the database if it was a checkpoint; the mark is never waited for. */
function changes(before: ReadonlyMap<string, Buffer>, after: ReadonlyMap<string, Buffer>): DiskEvent[] {
  const inOrder = ['-wal', '', '-mark'].flatMap((suffix) =>
    [...after].filter(([file]) => file.endsWith(suffix === '' ? '.db' : suffix)),
  );
  return inOrder.flatMap(([file, content]) => {
    const old = before.get(file);
    const [first, unit] = file.endsWith('-wal') ? [WAL_HEADER_BYTES, FRAME_BYTES] : [0, PAGE_BYTES];
    const writes = pieces(content, first, unit).filter(
      ({ offset, data }) => !old?.subarray(offset, offset + data.length).equals(data),
    );
    const events: DiskEvent[] = old === undefined ? [{ what: 'create', file }] : [];
    for (const { offset, data } of writes) {
      events.push({ what: 'write', file, offset, data });
      // A log that starts over has its header synced first, or old frames would count again.
      if (offset === 0 && file.endsWith('-wal')) events.push({ what: 'sync', file });
    }
    const isSynced = old === undefined || !file.endsWith('-mark');
    if (isSynced && writes.length > 0) events.push({ what: 'sync', file });
    return events;
  });
}

function pieces(content: Buffer, first: number, unit: number): { offset: number; data: Buffer }[] {
  const starts = first > 0 ? [0] : [];
  for (let at = first; at < content.length; at += unit) starts.push(at);
  return starts.map((offset, index) => ({ offset, data: content.subarray(offset, starts[index + 1]) }));
}
