// The table, and nothing else: one stack owns all of its replicas, since a second owner could delete them.
import type { Construct } from 'constructs';
import { regionsOf } from '../../config/config.ts';
import { RecordTable } from '../constructs/record-table.ts';
import { tableName } from '../names.ts';
import { EdenStack, type EdenStackProps } from './eden-stack.ts';
import type { FoundationStack } from './foundation.ts';

export interface DataStackProps extends EdenStackProps {
  readonly foundation: FoundationStack;
}

export class DataStack extends EdenStack {
  constructor(scope: Construct, props: DataStackProps) {
    const { config, foundation } = props;
    const { stage, regions, consistency, recovery, retainData } = config;
    const [, ...replicaRegions] = regionsOf(config);
    const what = regions.quorum === undefined ? 'two' : 'three';
    super(scope, 'data', 'primary', `the table with its ${what} replicas`, config);
    new RecordTable(this, 'Records', {
      tableName: tableName(stage),
      key: foundation.key,
      keyId: foundation.keyId,
      replicaRegions,
      consistency,
      warmWriteUnitsPerSecond: recovery.warmWriteUnitsPerSecond,
      removalPolicy: this.removalPolicy,
      deletionProtection: retainData,
    });
  }
}
