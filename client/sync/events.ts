// What an application can listen to. Listeners are called synchronously; what one throws becomes an uncaught exception
// and disturbs neither the others nor the sending.
import type { Version } from '../../protocol/versions.ts';
import { callListener } from '../events.ts';
import type { QuarantineReason } from '../queue/format.ts';
import type { LostOperation } from '../queue/settle.ts';
import type { Degradation } from './contract.ts';

/** At most five a second, and one when nothing is left to do. */
export interface SyncProgress {
  /** Operations that wait. */
  readonly pending: number;
  /** Operations settled since the client was opened. */
  readonly settled: number;
  /** Of those, a second, over the last few seconds. */
  readonly settledPerSecond: number;
  /** Changes pulled since the client was opened. */
  readonly pulled: number;
}

/** An own edit lost a vote to `stored`; its payload is in the service's audit log. */
export type Conflict = LostOperation & { readonly stored: Version };

/** An own edit will never be taken; it is in quarantine now. */
export type Rejection = LostOperation & { readonly reason: QuarantineReason; readonly detail: string };

/** Operations wait again: those a crash had left, or all that were kept, after the service was restored. */
export interface Recovered {
  readonly operations: number;
  readonly because: 'reopened' | 'restored';
}

export interface SyncEvents {
  readonly progress: SyncProgress;
  readonly conflict: Conflict;
  readonly rejected: Rejection;
  readonly degraded: Degradation;
  readonly recovered: Recovered;
}

export type SyncListener<Name extends keyof SyncEvents> = (event: SyncEvents[Name]) => void;

type Listeners = { readonly [Name in keyof SyncEvents]: Set<SyncListener<Name>> };

export class SyncEmitter {
  readonly #listeners: Listeners = {
    progress: new Set(),
    conflict: new Set(),
    rejected: new Set(),
    degraded: new Set(),
    recovered: new Set(),
  };

  /** Returns what ends it. The same listener counts once. */
  on<Name extends keyof SyncEvents>(name: Name, listener: SyncListener<Name>): () => void {
    const listeners = this.#listeners[name];
    if (listeners === undefined)
      throw new RangeError(
        `an event is one of ${Object.keys(this.#listeners).join(', ')}, got ${String(name)}`,
      );
    if (typeof listener !== 'function')
      throw new RangeError(`a listener is a function, got ${String(listener)}`);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit<Name extends keyof SyncEvents>(name: Name, event: SyncEvents[Name]): void {
    for (const listener of this.#listeners[name]) callListener(() => listener(event));
  }
}
