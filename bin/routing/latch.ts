// The latch in DNS: Route 53 keeps away from an evacuated primary by an alarm that the standby's observer feeds, and a
// standby that is cut off feeds nothing, so that the alarm stays red after a failback. Only a person ends that: a check
// that is disabled counts as healthy.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html (Disabled)
import { healthChecksBy } from './looks.ts';
import type { DnsAddress } from './where.ts';

/** For a shell. */
export interface LatchCommands {
  readonly lift: string;
  /** When the standby feeds its alarm again: until then only `/health` of the primary holds it out of DNS. */
  readonly restore: string;
}

/** Undefined where DNS has no latch, or nobody says which check it is. Never throws. */
export async function latchCommandsOf(dns: DnsAddress): Promise<LatchCommands | undefined> {
  if (dns.kind === 'none') return undefined;
  if (dns.kind === 'name') {
    const query = `HealthChecks[?HealthCheckConfig.AlarmIdentifier.Name=='${dns.evacuatedAlarm}'].Id`;
    const id = `$(aws route53 list-health-checks --query "${query}" --output text)`;
    const update = `aws route53 update-health-check --health-check-id ${id}`;
    return { lift: `${update} --disabled`, restore: `${update} --no-disabled` };
  }
  const checks = await healthChecksBy(dns.url).catch(() => []);
  const check = checks.find(({ kind }) => kind === 'alarm');
  if (check?.id === undefined) return undefined;
  const { id } = check;
  const put = (disabled: boolean) =>
    `curl -X PUT -H 'content-type: application/json' -d '{"disabled":${disabled}}' ${dns.url}/health-checks/${encodeURIComponent(id)}`;
  return { lift: put(true), restore: put(false) };
}
