// The table, and nothing else: one stack owns all three replicas, since a second owner could delete them.
import type { Construct } from 'constructs';
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
    super(scope, 'data', 'primary', 'the table with its three replicas', config);
    const { stage, regions, retainData } = config;
    new RecordTable(this, 'Records', {
      tableName: tableName(stage),
      key: foundation.key,
      keyId: foundation.keyId,
      replicaRegions: [regions.standby, regions.quorum],
      removalPolicy: this.removalPolicy,
      deletionProtection: retainData,
    });
  }
}
