// The world of a real client: the service over HTTP, this machine's clock, dice and timers.
import { setTimeout as delay } from 'node:timers/promises';
import type { SyncWorld, Wire } from './contract.ts';

export function realWorld(wire: Wire, random: () => number = Math.random): SyncWorld {
  return {
    wire,
    now: () => performance.now(),
    random,
    // An abort is its only failure, and means that there is no need to wait any longer.
    wait: (ms, signal) => delay(ms, undefined, signal && { signal }).catch(() => undefined),
  };
}
