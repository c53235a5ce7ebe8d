// Who is active (DESIGN §4).

/** The routing item. Times in Unix ms. */
export interface Routing {
  readonly activeRegion: string;
  readonly epoch: number;
}

/** The primary is evacuated while another region is active, whatever it believes of itself; the standby never is. */
export function isEvacuated(routing: Routing | undefined, region: string, primaryRegion: string): boolean {
  return routing !== undefined && region === primaryRegion && routing.activeRegion !== region;
}

/** Where jobs that must run once run. Until something moved, that is the primary. */
export function activeRegionOf(routing: Routing | undefined, primaryRegion: string): string {
  return routing?.activeRegion ?? primaryRegion;
}
