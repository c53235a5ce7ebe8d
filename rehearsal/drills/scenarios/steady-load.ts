// The load of the drills that are about decisions of minutes, not of milliseconds: steady, and light enough that a busy
// machine carries it.
import type { LoadProfile } from '../failover/scenario.ts';

export const STEADY_LOAD: LoadProfile = { requestsPerSecond: 40, writeShare: 0.25, dnsRequestsPerSecond: 5 };
