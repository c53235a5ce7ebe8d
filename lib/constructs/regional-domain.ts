// The names of a Region's API. Three stand for it: its own (`<region>.<name>`), which DNS checks and clients that pin a
// Region use; the failover name itself, which both Regions own so that TLS and routing match whichever of them DNS
// answers with; and `origin-<region>.<name>`, which is only an address: where this Region's copy of the failover name
// is reached. The failover records are CNAMEs to that address, so that they need no value from another Region, and a
// client still asks for, and gets a certificate for, the failover name.
import {
  BasePathMapping,
  type CfnDomainName,
  DomainName,
  EndpointType,
  type RestApi,
  SecurityPolicy,
} from 'aws-cdk-lib/aws-apigateway';
import { Certificate, CertificateValidation } from 'aws-cdk-lib/aws-certificatemanager';
import { AaaaRecord, ARecord, HostedZone, type IHostedZone, RecordTarget } from 'aws-cdk-lib/aws-route53';
import { ApiGatewayDomain } from 'aws-cdk-lib/aws-route53-targets';
import { Construct } from 'constructs';
import { type Config, regionalName } from '../../config/config.ts';
import { originName } from '../names.ts';

export interface RegionalDomainProps {
  readonly domain: NonNullable<Config['domain']>;
  readonly region: string;
  readonly restApi: RestApi;
}

export class RegionalDomain extends Construct {
  constructor(scope: Construct, id: string, props: RegionalDomainProps) {
    super(scope, id);
    const { domain, region, restApi } = props;
    const { name, hostedZoneId, hostedZoneName } = domain;
    const zone = HostedZone.fromHostedZoneAttributes(this, 'Zone', {
      hostedZoneId,
      zoneName: hostedZoneName,
    });
    const ownName = regionalName(name, region);
    const certificate = new Certificate(this, 'Certificate', {
      domainName: ownName,
      subjectAlternativeNames: [name],
      validation: CertificateValidation.fromDns(zone),
    });
    const names = { Own: ownName, Failover: name };
    const [own, failover] = Object.entries(names).map(([which, domainName]) => {
      const custom = new DomainName(this, which, {
        domainName,
        certificate,
        endpointType: EndpointType.REGIONAL,
        securityPolicy: SecurityPolicy.TLS_1_2,
      });
      // Without it the name has no IPv6 address and the AAAA records below would point at nothing. The construct has
      // no property for it.
      (custom.node.defaultChild as CfnDomainName).addPropertyOverride(
        'EndpointConfiguration.IpAddressType',
        'dualstack',
      );
      new BasePathMapping(this, `${which}Mapping`, {
        domainName: custom,
        restApi,
        stage: restApi.deploymentStage,
      });
      return custom;
    }) as [DomainName, DomainName];
    this.point('Own', zone, ownName, own);
    this.point('Origin', zone, originName(name, region), failover);
  }

  private point(id: string, zone: IHostedZone, recordName: string, domain: DomainName): void {
    const target = RecordTarget.fromAlias(new ApiGatewayDomain(domain));
    const comment = 'IPv4';
    new ARecord(this, `${id}V4`, { zone, recordName, target, comment });
    new AaaaRecord(this, `${id}V6`, { zone, recordName, target, comment: 'IPv6' });
  }
}
