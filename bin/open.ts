// `npm run open`: opens a new table. A table without a generation item is closed to everybody (PROTOCOL 1.4); this
// writes the first one, once. It never touches a table that is open, nor one that a restore has closed.
import { parseArgs } from 'node:util';
import { ConditionalCheckFailedException, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { defineConfig, type StageConfig } from '../config/config.ts';
import { STAGES } from '../config/stages.ts';
import { ATTRIBUTES, GENERATION_KEY } from '../protocol/items.ts';
import { type TableAddress, tableFrom, WHERE_OPTIONS } from './routing/where.ts';

const USAGE = `npm run open -- [--stage STAGE] [--table NAME] [--region REGION] [--endpoint URL]
  --stage     whose table on AWS; its configuration also gives the region; default the rehearsal that runs here
  --table     the table itself, where it is not called as the stage's would be
  --region    any region of the table; default the stage's primary
  --endpoint  another endpoint than AWS's, where the stage is dev unless named
  --state     where npm start left word of the rehearsal; default .cache/rehearsal.json`;

const { pk, sk } = ATTRIBUTES;

interface OpenOptions {
  readonly table: TableAddress;
  readonly region: string;
}

/** What became of it, in words; throws when the table is closed for a restore or cannot be reached. */
async function open({ table: address, region }: OpenOptions, nowMs: number): Promise<string> {
  const { name: table, ...at } = address;
  const client = new DynamoDBClient({ region, ...at });
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

async function optionsFrom(args: readonly string[]): Promise<OpenOptions> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      stage: { type: 'string' },
      table: { type: 'string' },
      region: { type: 'string' },
      endpoint: { type: 'string' },
      state: WHERE_OPTIONS.state,
    },
  });
  const { stage, ...table } = await tableFrom(values);
  return {
    table,
    region: values.region ?? defineConfig(stage, STAGES[stage] as StageConfig).regions.primary,
  };
}

try {
  console.log(await open(await optionsFrom(process.argv.slice(2)), Date.now()));
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(`open: ${error instanceof Error ? error.message : error}${isUsage ? `\n\n${USAGE}` : ''}`);
  process.exitCode = 1;
}
