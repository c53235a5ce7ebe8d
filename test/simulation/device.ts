// A device in the field: the shipped queue on a disk that forgets what was not synced, the shipped sender and puller,
// a clock that is off and jumps, and a process that can be gone at any step. Its user edits, reads and pulls.
import { openQueue, type Queue } from '../../client/queue/queue.ts';
import type { SyncHooks } from '../../client/sync/contract.ts';
import { Puller } from '../../client/sync/puller.ts';
import { Sender } from '../../client/sync/sender.ts';
import { Crash, MemoryDisk, type Step } from '../client/queue/memory-disk.ts';
import { Author, COLLECTION } from './author.ts';
import { type Chronicle, Violation } from './chronicle.ts';
import type { Dice } from './dice.ts';
import type { HttpResult, Network } from './network.ts';
import type { Scheduler } from './scheduler.ts';
import { readEvent, SimulatedWire } from './wire.ts';

/** What a dead process waits for: one of its own each time, or all that ever waited would hang on it. */
const neverEnding = () => new Promise<never>(() => {});

export interface DeviceParts {
  readonly name: string;
  readonly tenant: string;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly chronicle: Chronicle;
  readonly dice: Dice;
  /** The next payload's number. */
  readonly nextToken: () => number;
  readonly skewMs: number;
  readonly pullLimits: readonly number[];
  readonly onLog: (line: () => string) => void;
  readonly onViolation: (violation: unknown) => void;
}

/** One run of the process, from opening the queue to its end. */
interface Life {
  readonly queue: Queue;
  readonly sender: Sender;
  readonly puller: Puller;
  readonly openedWith: number;
  isOver: boolean;
  appends: number;
  acknowledged: number;
  replays: number;
  settled: number;
}

export class Device {
  readonly name: string;
  readonly tenant: string;
  skewMs: number;
  crashes = 0;
  /** With the next opening: the checkpoint it has is worth nothing. */
  pullsAnew = false;
  readonly #parts: DeviceParts;
  readonly #author: Author;
  #disk: MemoryDisk;
  #life: Life | undefined;
  #pulling: Promise<unknown> = Promise.resolve();
  /** The process goes down at the so-manieth step of the disk from here. */
  #crashAfter = Number.POSITIVE_INFINITY;
  /** When it learned of each restore epoch. */
  readonly noticed = new Map<number, number>();

  constructor(parts: DeviceParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.tenant = parts.tenant;
    this.#author = new Author({ ...parts, device: parts.name });
    this.skewMs = parts.skewMs;
    this.#disk = new MemoryDisk(this.#diskOptions());
  }

  get isOpen(): boolean {
    return this.#life !== undefined;
  }

  get queue(): Queue | undefined {
    return this.#life?.queue;
  }

  get #nowMs(): number {
    return Math.floor(this.#parts.scheduler.nowMs + this.skewMs);
  }

  open(): void {
    if (this.#life) return;
    const { scheduler, dice, onLog } = this.#parts;
    this.#crashAfter = Number.POSITIVE_INFINITY;
    this.#pulling = Promise.resolve();
    let life: Life | undefined;
    const isOver = () => life?.isOver === true;
    const queue = this.#openQueue(isOver);
    if (queue === undefined) return;
    // What it learned right before it went down it still knows.
    this.#notice(queue);
    const world = {
      wire: this.#wire(isOver),
      now: () => scheduler.nowMs,
      random: () => dice.next(),
      wait: (ms: number, signal?: AbortSignal) =>
        scheduler.wait(ms, signal).then(() => (isOver() ? neverEnding() : undefined)),
    };
    const parts = { queue, world, hooks: this.#hooks(() => life) };
    const sender = new Sender({
      ...parts,
      options: { batchWaitMs: 1_000, deferMaxMs: 5_000, resendMaxMs: 5_000 },
    });
    const puller = new Puller({ ...parts, options: { pullLimit: dice.pick(this.#parts.pullLimits) } });
    life = {
      queue,
      sender,
      puller,
      openedWith: queue.pending,
      isOver: false,
      appends: 0,
      acknowledged: 0,
      replays: 0,
      settled: 0,
    };
    this.#life = life;
    if (this.pullsAnew) queue.restartPull();
    onLog(() => `${this.name} opens its queue: ${queue.pending} pending, session ${queue.session}`);
    sender.start();
  }

  #unlessDead(isOver: () => boolean, work: () => void): void {
    try {
      if (!isOver()) work();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  }

  #notice({ restoreEpoch }: Queue): void {
    if (!this.noticed.has(restoreEpoch)) this.noticed.set(restoreEpoch, this.#parts.scheduler.nowMs);
  }

  #openQueue(isOver: () => boolean): Queue | undefined {
    const { scheduler, dice, onViolation } = this.#parts;
    try {
      return openQueue(this.#disk, {
        now: () => this.#nowMs,
        random: (bytes) => dice.hex(bytes),
        defer: (work) => scheduler.after(0, () => this.#unlessDead(isOver, work)),
      });
    } catch (error) {
      const what = `${this.name} cannot open its queue after a crash: ${String(error)}`;
      onViolation(new Violation('1 nothing acknowledged is lost', what));
      return undefined;
    }
  }

  /** Resolves once the edit is safe, or was not taken. */
  async edit(id: string, kind: 'put' | 'delete'): Promise<void> {
    const life = this.#life;
    if (!life) return;
    const { onLog } = this.#parts;
    life.appends += 1;
    const name = `${life.queue.session}:${life.appends}`;
    const made = this.#author.make(name, id, kind, life.queue.get(COLLECTION, id));
    onLog(() => `${this.name} edits ${id}: ${kind} ${made.token} as ${made.id}`);
    const edit = kind === 'put' ? { kind, payload: { n: made.token } } : { kind };
    try {
      const receipt = await life.queue.append({ ...edit, collection: COLLECTION, id });
      if (`${receipt.session}:${receipt.sequence}` !== made.id)
        throw new Error(`expected ${made.id}, the queue made ${receipt.session}:${receipt.sequence}`);
      this.#parts.chronicle.versionMade(receipt.version, made);
      life.acknowledged += 1;
      if (life.isOver) return;
      made.acknowledged = true;
      onLog(() => `${this.name} is told that ${made.id} is safe, version ${receipt.version}`);
      life.sender.notify();
    } catch (error) {
      this.#failed(life, error);
    }
  }

  /** Whether it got to the end. One that is under way is joined: what it has read already it does not read again. */
  pull(): Promise<boolean> {
    const pulling = this.#pull();
    this.#pulling = pulling;
    return pulling;
  }

  /** One that begins now. */
  async pullAnew(): Promise<boolean> {
    await this.#pulling;
    return this.pull();
  }

  async #pull(): Promise<boolean> {
    const life = this.#life;
    if (!life) return false;
    try {
      const { applied, dropped, complete } = await life.puller.pull();
      this.#parts.onLog(() => `${this.name} pulled ${applied}, dropped ${dropped}, complete: ${complete}`);
      return complete;
    } catch (error) {
      this.#failed(life, error);
      return false;
    }
  }

  /** Until nothing waits, or so many ms have passed; what it counted must be what was there. */
  async flush(forMs: number): Promise<void> {
    const life = this.#life;
    if (!life) return;
    const before = { pending: life.queue.pending, acknowledged: life.acknowledged, replays: life.replays };
    const controller = new AbortController();
    const timer = this.#parts.scheduler.after(forMs, () => controller.abort());
    try {
      const { applied, duplicate, superseded, rejected } = await life.sender.flush(controller.signal);
      timer.cancelled = true;
      if (life.isOver || controller.signal.aborted || life.queue.pending > 0) return;
      const counted = applied + duplicate + superseded + rejected;
      const added = life.acknowledged - before.acknowledged + life.replays - before.replays;
      if (counted > before.pending + added || counted < before.pending)
        this.#parts.onViolation(
          new Violation(
            'flush counts operations',
            `${this.name}: a flush of ${before.pending} operations, ${added} added meanwhile, counted ${counted}`,
          ),
        );
    } catch (error) {
      this.#failed(life, error);
    }
  }

  /** The process ends in order. */
  async close(): Promise<void> {
    const life = this.#life;
    if (!life) return;
    this.#life = undefined;
    try {
      await Promise.all([life.sender.close(), life.puller.close()]);
      life.queue.close();
      this.#checkCounts(life);
    } catch (error) {
      this.#failed(life, error);
    }
    life.isOver = true;
  }

  /** The process is gone, now; `power`: and the machine with it. */
  crash(power: boolean): void {
    const life = this.#life;
    if (!life) return;
    const { dice, onLog } = this.#parts;
    life.isOver = true;
    this.crashes += 1;
    this.#life = undefined;
    this.#disk = power
      ? this.#disk.afterPowerCut(() => dice.chance(0.5), this.#diskOptions())
      : this.#disk.afterKill(this.#diskOptions());
    onLog(() => `${this.name} ${power ? 'loses power' : 'is killed'}`);
  }

  /** The machine goes down at a step of the disk to come. */
  crashSoon(): void {
    this.#crashAfter = this.#parts.dice.whole(0, 6);
  }

  calm(): void {
    this.#crashAfter = Number.POSITIVE_INFINITY;
  }

  checkCounts(): void {
    if (this.#life) this.#checkCounts(this.#life);
  }

  #checkCounts(life: Life): void {
    const { openedWith, acknowledged, replays, settled, queue } = life;
    const expected = openedWith + acknowledged + replays - settled;
    if (expected === queue.pending || life.isOver) return;
    this.#parts.onViolation(
      new Violation(
        'flush counts operations',
        `${this.name}: ${openedWith} waited, ${acknowledged} were added, ${replays} queued again, ` +
          `${settled} settled, and ${queue.pending} wait`,
      ),
    );
  }

  #wire(isOver: () => boolean): SimulatedWire {
    const { network, chronicle, onLog, onViolation } = this.#parts;
    return new SimulatedWire({
      tenant: this.tenant,
      request: (event, signal) => {
        if (isOver()) return neverEnding();
        return network
          .request(this.name, event, signal)
          .then((result) => (isOver() ? neverEnding() : result));
      },
      onPush: ({ operations, restoreEpoch }) => {
        if (isOver()) return;
        for (const operation of operations) {
          const made = chronicle.sent(this.name, this.tenant, operation);
          onLog(
            () =>
              `${this.name} sends ${operation.kind} ${made?.token} of ${operation.id}, version ` +
              `${operation.version}, base ${operation.base}, epoch ${restoreEpoch}${operation.replayed ? ', again' : ''}`,
          );
        }
      },
      onPushed: (answer) => {
        if (answer.kind !== 'verdicts') onLog(() => `${this.name} hears ${JSON.stringify(answer)}`);
        if (answer.kind !== 'verdicts') return;
        for (const verdict of answer.verdicts) {
          chronicle.heard(verdict);
          onLog(() => `${this.name} hears ${JSON.stringify(verdict)}`);
        }
      },
      onPulled: (answer) => {
        if (answer.kind !== 'page') onLog(() => `${this.name} pulls in vain: ${JSON.stringify(answer)}`);
        if (answer.kind !== 'page') return;
        const { changes, resync, more } = answer.page;
        onLog(
          () =>
            `${this.name} gets ${changes.map(({ id, version }) => `${id} ${version}`).join(', ') || 'nothing new'}` +
            `${resync ? ', resync' : ''}${more ? ', more to come' : ''}`,
        );
        try {
          this.#author.see(changes);
        } catch (violation) {
          onViolation(violation);
        }
      },
    });
  }

  #hooks(lifeOf: () => Life | undefined): SyncHooks {
    const { onLog } = this.#parts;
    return {
      settled: ({ counts: { applied, duplicate, superseded, rejected } }) => {
        const life = lifeOf();
        if (life) life.settled += applied + duplicate + superseded + rejected;
      },
      restored: (operations) => {
        const life = lifeOf();
        if (!life) return;
        life.replays += operations;
        if (!life.isOver) this.#notice(life.queue);
        onLog(() => `${this.name} learns of restore ${life.queue.restoreEpoch}: ${operations} again`);
      },
      degraded: ({ because, detail }) => onLog(() => `${this.name} is degraded: ${because}: ${detail}`),
    };
  }

  /** Reads a record through the API, as a user without a queue would. */
  async read(id: string): Promise<HttpResult> {
    const { network } = this.#parts;
    return network.request(this.name, readEvent(this.tenant, COLLECTION, id), new AbortController().signal);
  }

  #diskOptions() {
    return {
      forgetsToSync: false,
      at: (step: Step) => {
        this.#crashAfter -= 1;
        if (this.#crashAfter > 0) return;
        this.#crashAfter = Number.POSITIVE_INFINITY;
        this.crash(true);
        throw new Crash(step);
      },
    };
  }

  /** What a dead process runs into does not count. */
  #failed(life: Life, error: unknown): void {
    if (life.isOver || error instanceof Crash) return;
    this.#parts.onLog(() => `${this.name} fails: ${String(error)}`);
    if (error instanceof Violation) this.#parts.onViolation(error);
  }
}
