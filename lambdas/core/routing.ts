// What follows from the routing state (DESIGN §4). No state: nothing was ever moved, and the primary is active.
import type { RoutingState } from '../../protocol/routing.ts';

/**
 * Whether DNS and clients should leave a region: the primary while another is active, or about to be, whatever it
 * believes of itself. The standby never is, since it serves either way.
 */
export function isEvacuated(
  routing: Pick<RoutingState, 'activeRegion' | 'draining'> | undefined,
  region: string,
  primaryRegion: string,
): boolean {
  if (routing === undefined || region !== primaryRegion) return false;
  return (
    routing.activeRegion !== region || (routing.draining !== undefined && routing.draining.to !== region)
  );
}

export function activeRegionOf(
  routing: Pick<RoutingState, 'activeRegion'> | undefined,
  primaryRegion: string,
): string {
  return routing?.activeRegion ?? primaryRegion;
}

/** Of the state that votes are cast under. */
export function epochOf(routing: Pick<RoutingState, 'epoch'> | undefined): number {
  return routing?.epoch ?? 0;
}

/** Whether what must run once runs in a region: where it is active, and nowhere while that is changing. */
export function runsJobs(
  routing: RoutingState | undefined,
  region: string,
  primaryRegion: string,
): { readonly runs: true } | { readonly runs: false; readonly why: string } {
  const active = activeRegionOf(routing, primaryRegion);
  if (active !== region) return { runs: false, why: `${active} is active` };
  if (routing?.draining) return { runs: false, why: `${region} is being left for ${routing.draining.to}` };
  return { runs: true };
}

/** Whether a job that must run once may begin (lambdas/fence.ts). */
export type JobEntry =
  | { readonly entered: true; readonly epoch: number }
  | { readonly entered: false; readonly why: string };
