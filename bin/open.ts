// `npm run open`: opens a new table. A table without a generation item is closed to everybody (PROTOCOL 1.4); this
// writes the first one, once. It never touches a table that is open, nor one that a restore has closed.
import { parseArgs } from 'node:util';
import { ConditionalCheckFailedException, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { defineConfig } from '../config/config.ts';
import { STAGES } from '../config/stages.ts';
import { tableName } from '../lib/names.ts';
import { ATTRIBUTES, GENERATION_KEY } from '../protocol/items.ts';

const USAGE = `npm run open -- [--stage dev] [--table NAME] [--region REGION] [--endpoint URL]
  --stage     whose table; its configuration also gives the region
  --table     the table itself, where it is not called as the stage's would be
  --region    any region of the table; default the stage's primary
  --endpoint  another endpoint than AWS's, such as a rehearsal's`;

const { pk, sk } = ATTRIBUTES;

interface OpenOptions {
  readonly table: string;
  readonly region: string;
  readonly endpoint?: string;
}

/** What became of it, in words; throws when the table is closed for a restore or cannot be reached. */
async function open({ table, region, endpoint }: OpenOptions, nowMs: number): Promise<string> {
  const client = new DynamoDBClient({ region, ...(endpoint ? { endpoint } : {}) });
  try {
    await client.send(
      new PutItemCommand({
        TableName: table,
        Item: {
          [pk]: { S: GENERATION_KEY.pk },
          [sk]: { S: GENERATION_KEY.sk },
          status: { S: 'open' },
          restoreEpoch: { N: String(nowMs) },
        },
        ConditionExpression: 'attribute_not_exists(#pk)',
        ExpressionAttributeNames: { '#pk': pk },
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }),
    );
    return `${table} is open, restore epoch ${nowMs}`;
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
    const { status, restoreEpoch } = error.Item ?? {};
    if (status?.S === 'open')
      return `${table} is open already, restore epoch ${restoreEpoch?.N}: nothing to do`;
    throw new Error(
      `${table} is closed for a restore (status ${status?.S ?? 'unknown'}): finishing the restore opens it`,
    );
  } finally {
    client.destroy();
  }
}

function optionsFrom(args: readonly string[]): OpenOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      stage: { type: 'string', default: 'dev' },
      table: { type: 'string' },
      region: { type: 'string' },
      endpoint: { type: 'string' },
    },
  });
  const { stage, table, region, endpoint } = values;
  const raw = Object.hasOwn(STAGES, stage) ? STAGES[stage] : undefined;
  if (!raw) throw new RangeError(`--stage is one of ${Object.keys(STAGES).join(', ')}, got "${stage}"`);
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint))
    throw new RangeError(`--endpoint is an http or https URL, got "${endpoint}"`);
  return {
    table: table ?? tableName(stage),
    region: region ?? defineConfig(stage, raw).regions.primary,
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

try {
  console.log(await open(optionsFrom(process.argv.slice(2)), Date.now()));
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`open: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = 1;
}
