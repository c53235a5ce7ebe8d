// The third Region: it votes and observes, but serves nobody. Alarms on Route 53's metrics would have to live here
// (they exist in us-east-1 only), but need the ids of health checks that are made last of all; what such an alarm
// could say, the observers and the `evacuated` alarm of the traffic stack say already.
import type { Construct } from 'constructs';
import { Observer } from '../constructs/observer.ts';
import { EdenStack, type EdenStackProps } from './eden-stack.ts';
import type { FoundationStack } from './foundation.ts';

export interface QuorumStackProps extends EdenStackProps {
  readonly foundation: FoundationStack;
}

export class QuorumStack extends EdenStack {
  constructor(scope: Construct, props: QuorumStackProps) {
    const { config, foundation } = props;
    super(scope, 'quorum', 'quorum', 'the observer of the Region that votes but does not serve', config);
    new Observer(this, 'Observer', {
      config,
      role: 'quorum',
      key: foundation.key,
      keyId: foundation.keyId,
      removalPolicy: this.removalPolicy,
    });
  }
}
