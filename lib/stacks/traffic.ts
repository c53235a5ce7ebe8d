// Who DNS sends to: owned by the standby Region, so that the primary's failure cannot take its own failover with it.
import type { Construct } from 'constructs';
import type { Config } from '../../config/config.ts';
import { FailoverDns } from '../constructs/failover-dns.ts';
import { EdenStack, type EdenStackProps } from './eden-stack.ts';

export interface TrafficStackProps extends EdenStackProps {
  readonly domain: NonNullable<Config['domain']>;
}

export class TrafficStack extends EdenStack {
  constructor(scope: Construct, props: TrafficStackProps) {
    const { config, domain } = props;
    super(scope, 'traffic', 'standby', 'health checks and failover records', config);
    new FailoverDns(this, 'Failover', { config, domain });
  }
}
