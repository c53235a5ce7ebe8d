// Every planted bug, in the order of PROTOCOL, and then the faults.
import { DEVICE_PLANTS, FAULT_PLANTS } from './client.ts';
import type { Plant } from './plant.ts';
import { FEED_PLANTS, MAINTENANCE_PLANTS, VOTE_PLANTS, WRITE_PLANTS } from './server.ts';

export const PLANTS: readonly Plant[] = [
  ...[...WRITE_PLANTS, ...VOTE_PLANTS, ...FEED_PLANTS, ...MAINTENANCE_PLANTS, ...DEVICE_PLANTS].sort((a, b) =>
    a.rule.localeCompare(b.rule, 'en', { numeric: true }),
  ),
  ...FAULT_PLANTS,
];
