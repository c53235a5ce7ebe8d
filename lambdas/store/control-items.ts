// The store's control items: generation, feed status, heartbeats, probes (PROTOCOL 1.4, 6.2, 8.1).
import { QueryCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import {
  ATTRIBUTES,
  FEED_INDEX,
  GENERATION_KEY,
  HEARTBEAT_SHARD,
  heartbeatKey,
  regionStatusKey,
  writeProbeKey,
} from '../../protocol/items.ts';
import type { FeedStatus } from '../../protocol/steadiness.ts';
import { numberOf, textOf } from './record-items.ts';
import type { Store } from './store.ts';
import { controlKey, type TableCalls } from './table-calls.ts';

type ControlStore = Pick<Store, 'generation' | 'feedStatus' | 'saveFeedStatus' | 'beat' | 'beats' | 'probe'>;

export function controlItems(calls: TableCalls): ControlStore {
  return {
    async generation() {
      const item = await calls.get(controlKey(GENERATION_KEY));
      if (!item) return undefined;
      const status = textOf(item, 'status') === 'open' ? 'open' : 'restoring';
      const restoreEpoch = numberOf(item, 'restoreEpoch');
      return item['restoreId']
        ? { status, restoreEpoch, restoreId: textOf(item, 'restoreId') }
        : { status, restoreEpoch };
    },

    async feedStatus(region) {
      const item = await calls.get(controlKey(regionStatusKey(region)));
      if (!item) return undefined;
      const checkedAt = numberOf(item, 'checkedAt');
      return item['steadySince'] ? { checkedAt, steadySince: numberOf(item, 'steadySince') } : { checkedAt };
    },

    async saveFeedStatus(region, status, previous) {
      const outcome = await calls.update(statusUpdate(region, status, previous));
      return outcome === true;
    },

    async beat(region, atMs) {
      const outcome = await calls.update({
        Key: controlKey(heartbeatKey(region)),
        UpdateExpression: 'SET #fs = :fs, #fo = :fo',
        ConditionExpression: 'attribute_not_exists(#fo) OR #fo < :fo',
        ExpressionAttributeNames: { '#fs': ATTRIBUTES.feedShard, '#fo': ATTRIBUTES.feedOrder },
        ExpressionAttributeValues: {
          ':fs': { S: HEARTBEAT_SHARD },
          ':fo': { S: `${String(atMs).padStart(13, '0')}#${region}` },
        },
      });
      return outcome === true;
    },

    async beats() {
      const command = new QueryCommand({
        TableName: calls.tableName,
        IndexName: FEED_INDEX,
        KeyConditionExpression: '#fs = :fs',
        ExpressionAttributeNames: { '#fs': ATTRIBUTES.feedShard },
        ExpressionAttributeValues: { ':fs': { S: HEARTBEAT_SHARD } },
      });
      const { Items = [] } = await calls.reading((abortSignal) =>
        calls.client.send(command, { abortSignal }),
      );
      return Items.map((item) => {
        const [at, region] = textOf(item, ATTRIBUTES.feedOrder).split('#');
        return { region: region ?? '', atMs: Number(at) };
      });
    },

    async probe(region, atMs) {
      await calls.update({
        Key: controlKey(writeProbeKey(region)),
        UpdateExpression: 'SET probedAt = :at',
        ExpressionAttributeValues: { ':at': { N: String(atMs) } },
      });
    },
  };
}

function statusUpdate(
  region: string,
  { checkedAt, steadySince }: FeedStatus,
  previous: FeedStatus | undefined,
): Omit<UpdateItemCommandInput, 'TableName'> {
  return {
    Key: controlKey(regionStatusKey(region)),
    UpdateExpression:
      steadySince === undefined
        ? 'SET checkedAt = :checked REMOVE steadySince'
        : 'SET checkedAt = :checked, steadySince = :since',
    ConditionExpression: previous ? 'checkedAt = :previous' : 'attribute_not_exists(checkedAt)',
    ExpressionAttributeValues: {
      ':checked': { N: String(checkedAt) },
      ...(steadySince !== undefined && { ':since': { N: String(steadySince) } }),
      ...(previous && { ':previous': { N: String(previous.checkedAt) } }),
    },
  };
}
