// Function `scrubber`: called by a schedule in every region that has a replica.
import { setTimeout as wait } from 'node:timers/promises';
import { readPlace, readScrubItems, readTableName } from './env.ts';
import { createScrubber } from './routes/scrubber.ts';
import { createDynamoDBClient } from './store/attempts.ts';
import { scrubbedItems } from './store/scrubbed-items.ts';
import { TableCalls } from './store/table-calls.ts';
import { createTelemetry } from './telemetry.ts';

const ATTEMPT_MS = 5_000;

const place = readPlace();
const scrub = createScrubber({
  place,
  telemetry: createTelemetry(place, 'scrubber'),
  now: Date.now,
  random: Math.random,
  wait,
  items: scrubbedItems(
    new TableCalls({
      client: createDynamoDBClient(),
      tableName: readTableName(),
      writeAttemptMs: ATTEMPT_MS,
      readAttemptMs: ATTEMPT_MS,
    }),
  ),
  itemsPerRun: readScrubItems(),
});

export const handler = async (): Promise<void> => scrub();
