// Plays a recording up to every point and pulls the plug there: what was not synced may be gone, in part or in whole,
// in any order, torn inside a write. The queue that opens on what is left must hold all its user was told.
// Proved for the system calls recorded; a disk that loses what it reported as synced is beyond it (see damage.ts).
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQueueFile } from '../../../client/queue.ts';
import type { DiskEvent } from './recording.ts';
import { Witness } from './witness.ts';

export interface ReplayOptions {
  readonly random: () => number;
  /** Torn at every byte; otherwise at so many bytes a write, drawn. */
  readonly tears: 'every byte' | number;
  /** The share of crash points looked at. */
  readonly share: number;
}

export interface Replay {
  readonly crashPoints: number;
  /** Different contents of the disk that were opened. */
  readonly openings: number;
  readonly wrong: readonly string[];
}

type Change = Extract<DiskEvent, { what: 'write' | 'truncate' }>;

interface File {
  content: Buffer;
  pending: Change[];
  /** Whether its name is there, and whether that is durable. */
  named: boolean;
  nameDurable: boolean;
}

/** What is left of a disk: file contents by name. */
type Remains = Map<string, Buffer>;

export function replay(events: readonly DiskEvent[], options: ReplayOptions): Replay {
  const bench = new Bench();
  const files = new Map<string, File>();
  let said = '';
  let crashPoints = 0;
  const made = events.findIndex(({ what }) => what === 'made');
  try {
    for (const [index, event] of events.entries()) {
      if (event.what === 'said') said += event.text;
      else play(files, event);
      if (event.what === 'said' || index < made || options.random() > options.share) continue;
      crashPoints++;
      for (const remains of outcomes(files, options)) bench.examine(remains, said, crashPoints);
    }
  } finally {
    bench.clear();
  }
  return { crashPoints, openings: bench.openings, wrong: bench.wrong };
}

function play(files: Map<string, File>, event: Exclude<DiskEvent, { what: 'said' }>): void {
  if (event.what === 'made') return;
  if (event.what === 'sync-names') {
    for (const file of files.values()) file.nameDurable = file.named;
    return;
  }
  let file = files.get(event.file);
  if (file === undefined) {
    file = { content: Buffer.alloc(0), pending: [], named: true, nameDurable: false };
    files.set(event.file, file);
  }
  if (event.what === 'create') file.named = true;
  else if (event.what === 'remove') file.named = false;
  else if (event.what === 'write' || event.what === 'truncate') file.pending.push(event);
  else {
    file.content = applied(file.content, file.pending);
    file.pending = [];
  }
}

function applied(content: Buffer, changes: readonly Change[]): Buffer {
  return changes.reduce((before, change) => {
    if (change.what === 'truncate') return before.subarray(0, change.size);
    const size = Math.max(before.length, change.offset + change.data.length);
    const after = Buffer.alloc(size);
    before.copy(after);
    change.data.copy(after, change.offset);
    return after;
  }, content);
}

function* outcomes(files: ReadonlyMap<string, File>, { random, tears }: ReplayOptions): Iterable<Remains> {
  yield remainsOf(files, () => [], 'durable');
  yield remainsOf(files, (changes) => changes, 'current');
  yield remainsOf(files, (changes) => changes, 'durable');
  for (const [name, { pending }] of files) {
    for (const lost of pending)
      yield remainsOf(files, (changes) => changes.filter((change) => change !== lost), 'current');
    const last = pending.at(-1);
    if (last?.what !== 'write') continue;
    const { length } = last.data;
    const cuts = tears === 'every byte' ? length : Math.min(tears, length);
    for (let cut = 1; cut < cuts; cut++) {
      const at = tears === 'every byte' ? cut : 1 + Math.floor(random() * (length - 1));
      // Both halves of a torn write have been seen: the front without the back, and the back without the front.
      const front = { ...last, data: last.data.subarray(0, at) };
      const back = { ...last, data: last.data.subarray(at), offset: last.offset + at };
      for (const part of [front, back])
        yield remainsOf(
          files,
          (changes, file) => (file === name ? [...changes.slice(0, -1), part] : changes),
          'current',
        );
    }
  }
  for (let draws = 0; draws < 2; draws++)
    yield remainsOf(files, (changes) => changes.filter(() => random() < 0.5), 'current');
}

function remainsOf(
  files: ReadonlyMap<string, File>,
  survivors: (changes: readonly Change[], name: string) => readonly Change[],
  names: 'durable' | 'current',
): Remains {
  const remains: Remains = new Map();
  for (const [name, file] of files)
    if (names === 'durable' ? file.nameDurable : file.named)
      remains.set(name, applied(file.content, survivors(file.pending, name)));
  return remains;
}

/** Opens what is left, each different content once per thing said. */
class Bench {
  readonly wrong: string[] = [];
  openings = 0;
  readonly #folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eden-field-replay-'));
  readonly #seen = new Set<string>();

  examine(remains: Remains, said: string, crashPoint: number): void {
    const hash = createHash('sha256').update(said);
    for (const [name, content] of remains) hash.update(`\n${name} ${content.length}\n`).update(content);
    const fingerprint = hash.digest('base64');
    if (this.#seen.has(fingerprint)) return;
    this.#seen.add(fingerprint);
    this.openings++;
    for (const [name, content] of remains) writeFileSync(join(this.#folder, name), content);
    const path = join(this.#folder, 'queue.db');
    try {
      const queue = openQueueFile({ path, reserveBytes: 0, keptBytesMax: 2_000 });
      const witness = new Witness();
      witness.hear(said);
      for (const finding of witness.examine(queue)) this.wrong.push(`crash point ${crashPoint}: ${finding}`);
      queue.close();
    } catch (error) {
      this.wrong.push(`crash point ${crashPoint}: ${error}`);
    }
    for (const suffix of ['', '-wal', '-wal-copy', '-mark', '-journal', '-shm'])
      rmSync(path + suffix, { force: true });
  }

  clear(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
