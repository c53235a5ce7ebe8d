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
