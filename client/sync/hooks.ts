// Hooks are others' code: what one throws must be seen, and must not leave a batch half accounted for.
import { callListener } from '../events.ts';
import type { SyncHooks } from './contract.ts';

const NAMES = ['settled', 'idle', 'pulled', 'restored', 'degraded', 'metric'] as const;

/** All of them, callable without a second thought. */
export function guarded(hooks: SyncHooks): Required<SyncHooks> {
  const all = NAMES.map((name) => {
    const hook = hooks[name] as ((...values: never[]) => void) | undefined;
    return [name, (...values: never[]) => callListener(() => hook?.(...values))];
  });
  return Object.fromEntries(all) as Required<SyncHooks>;
}
