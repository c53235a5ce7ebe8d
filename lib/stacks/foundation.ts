// What a Region needs before anything else can stand in it: its copy of the key, the buckets that outlive the
// service, and the topics alarms speak through. The quorum Region has a bucket more, for what is kept for years, with a
// key of its own, so that neither the loss of the stage's key nor its misuse reaches that copy.
import { CfnOutput } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { Role } from '../../config/config.ts';
import { RETENTION_DAYS } from '../../config/promises.ts';
import { BackupBucket } from '../constructs/backup-bucket.ts';
import { LockedBucket } from '../constructs/locked-bucket.ts';
import { makeOffsite, type Offsite } from '../constructs/offsite.ts';
import { OnCallTopics } from '../constructs/on-call-topics.ts';
import { RegionalKey } from '../constructs/regional-key.ts';
import { bucketName } from '../names.ts';
import { EdenStack, type EdenStackProps } from './eden-stack.ts';

export interface FoundationStackProps extends EdenStackProps {
  readonly role: Role;
  /** The foundation of the primary Region, whose key this one's replicates. Absent there. */
  readonly primary?: FoundationStack;
}

export class FoundationStack extends EdenStack {
  readonly key: IKey;
  readonly keyArn: string;
  readonly keyId: string;
  /** The quorum Region alone has it. */
  readonly offsite: Offsite | undefined;

  constructor(scope: Construct, props: FoundationStackProps) {
    const { config, role, primary } = props;
    super(scope, `foundation-${role}`, role, `key, buckets and on-call topics of the ${role} Region`, config);
    const { stage, onCall, retainData } = config;
    const { removalPolicy } = this;

    const { key, keyArn, keyId } = new RegionalKey(this, 'Key', {
      stage,
      removalPolicy,
      ...(primary ? { primaryKeyArn: primary.keyArn } : {}),
    });
    this.key = key;
    this.keyArn = keyArn;
    this.keyId = keyId;

    new BackupBucket(this, 'Backup', {
      bucketName: bucketName(stage, 'backup', this.region, this.account),
      use: 'backup',
      key,
      compliance: retainData,
      removalPolicy,
    });
    this.offsite =
      role === 'quorum'
        ? makeOffsite(this, { stage, compliance: retainData, removalPolicy }).offsite
        : undefined;
    // Audit entries are the compliance record: as long as the tier the specification keeps for compliance.
    new LockedBucket(this, 'Audit', {
      bucketName: bucketName(stage, 'audit', this.region, this.account),
      key,
      lockDays: RETENTION_DAYS.weekly,
      compliance: retainData,
      removalPolicy,
    });
    new OnCallTopics(this, 'OnCall', { stage, key, email: onCall.email });
    new CfnOutput(this, 'KeyArn', { value: keyArn, description: 'The key of this Region' });
  }
}
