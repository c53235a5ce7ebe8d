// The drill's side of a device: starts its process, gives it orders, remembers what it said, kills it.
import type { Child, Children } from '../../supervisor/children.ts';
import { DrillError } from '../system.ts';
import type { Answers, DeviceOptions, FromDevice, Order, ToDevice } from './device-messages.ts';
import type { EditPlan } from './edits.ts';

export type DeviceEvent = Exclude<FromDevice, { type: 'ready' } | { type: 'done' } | { type: 'undone' }>;

interface Asked {
  readonly resolve: (answer: Answers[Order['type']]) => void;
  readonly reject: (error: Error) => void;
}

export class DeviceProcess {
  readonly name: string;
  readonly plan: EditPlan;
  /** Operations that waited in its file when it was opened. */
  readonly recovered: number;
  readonly openedInMs: number;
  readonly #child: Child<ToDevice>;
  readonly #asked: Map<number, Asked>;
  #orders = 0;

  private constructor(
    options: DeviceOptions,
    child: Child<ToDevice>,
    ready: Extract<FromDevice, { type: 'ready' }>,
    asked: Map<number, Asked>,
  ) {
    this.name = options.name;
    this.plan = options.plan;
    this.recovered = ready.recovered;
    this.openedInMs = ready.openedInMs;
    this.#child = child;
    this.#asked = asked;
  }

  /** Rejects when the process, or the client in it, does not start. */
  static async start(
    children: Children,
    options: DeviceOptions,
    onEvent: (event: DeviceEvent) => void,
  ): Promise<DeviceProcess> {
    const asked = new Map<number, Asked>();
    const { child, ready } = await children.start<FromDevice, ToDevice>({
      name: `device ${options.name}`,
      script: 'device.ts',
      options,
      onMessage(message) {
        if (message.type === 'done') settle(asked, message.id)?.resolve(message.answer);
        else if (message.type === 'undone')
          settle(asked, message.id)?.reject(new DeviceTrouble(`device ${options.name}: ${message.why}`));
        else if (message.type !== 'ready') onEvent(message);
      },
      onLine: (line) => process.stderr.write(`device ${options.name}: ${line}\n`),
      onEnd(why) {
        for (const { reject } of asked.values()) reject(new DrillError(`device ${options.name} ${why}`));
        asked.clear();
      },
    });
    return new DeviceProcess(options, child, ready, asked);
  }

  /**
   * Resolves with the answer.
   * @throws DeviceTrouble the client library refused or failed
   * @throws DrillError the process has ended
   */
  order<Type extends Order['type']>(order: Order & { readonly type: Type }): Promise<Answers[Type]> {
    this.#orders += 1;
    const id = this.#orders;
    const { promise, resolve, reject } = Promise.withResolvers<Answers[Order['type']]>();
    this.#asked.set(id, { resolve, reject });
    this.#child.send({ ...order, id });
    // Orders and answers are matched by their id.
    return promise as Promise<Answers[Type]>;
  }

  /** SIGKILL; resolves when it is gone. What was asked of it rejects. */
  async kill(): Promise<void> {
    this.#child.signal('SIGKILL');
    await this.#child.end();
  }

  /** Closes the client, then ends the process. */
  async end(): Promise<void> {
    await this.order({ type: 'close' });
    await this.#child.end();
  }
}

/** What the client library refused or failed in, as its application would have seen it. */
export class DeviceTrouble extends Error {
  override readonly name = 'DeviceTrouble';
}

function settle(asked: Map<number, Asked>, id: number): Asked | undefined {
  const found = asked.get(id);
  asked.delete(id);
  return found;
}
