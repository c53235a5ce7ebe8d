// The third Region: it votes, observes, archives, backs up and scrubs, but serves nobody. Alarms on Route 53's metrics would have to live here
// (they exist in us-east-1 only), but need the ids of health checks that are made last of all; what such an alarm
// could say, the observers and the `evacuated` alarm of the traffic stack say already.
import type { Construct } from 'constructs';
import { Archiver } from '../constructs/archiver.ts';
import { Backups } from '../constructs/backups.ts';
import { Observer } from '../constructs/observer.ts';
import { Scrubber } from '../constructs/scrubber.ts';
import { Verification } from '../constructs/verification.ts';
import { EdenStack, type EdenStackProps } from './eden-stack.ts';
import type { FoundationStack } from './foundation.ts';

export interface QuorumStackProps extends EdenStackProps {
  readonly foundation: FoundationStack;
}

export class QuorumStack extends EdenStack {
  constructor(scope: Construct, props: QuorumStackProps) {
    const { config, foundation } = props;
    super(
      scope,
      'quorum',
      'quorum',
      'observer, archiver and backups of the Region that votes but does not serve',
      config,
    );
    const { key, keyId } = foundation;
    const shared = { config, role: 'quorum', key, keyId, removalPolicy: this.removalPolicy } as const;
    new Observer(this, 'Observer', shared);
    new Archiver(this, 'Archiver', shared);
    new Backups(this, 'Backups', { ...shared, offsite: foundation.offsite });
    new Verification(this, 'Verification', { ...shared, offsite: foundation.offsite });
    new Scrubber(this, 'Scrubber', shared);
  }
}
