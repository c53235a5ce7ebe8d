// The only values that the rehearsal puts in the place of the template's own, all of them in functions' environments.
// They are printed at start; whatever else a function sees is what it would see deployed.
import { credentialsOf } from '../aws/credentials.ts';
import type { RegionSubstitutions } from '../supervisor/messages.ts';
import { isFields } from './intrinsics.ts';

/** In words, for the person who started the rehearsal. */
export const SUBSTITUTIONS: readonly string[] = [
  "AWS_ENDPOINT_URL: functions call the rehearsal's AWS endpoint",
  "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: made from each function's role and region, no session token",
  "JWT_KEY_SET: the rehearsal's own public key, so that it can sign tokens",
  'OBSERVED: where observers probe the serving regions, over links from their own region, and their control probes',
];

export interface SubstitutionContext extends RegionSubstitutions {
  readonly awsEndpoint: string;
  readonly roleArn: string;
  readonly region: string;
}

/** A function's environment with the substitutions made; JWT_KEY_SET and OBSERVED only where the template sets them.
 * @throws Error OBSERVED is not what observers read, or watches a region that nothing here leads to */
export function substitute(
  environment: Readonly<Record<string, string>>,
  context: SubstitutionContext,
): Readonly<Record<string, string>> {
  const { awsEndpoint, roleArn, region, jwtKeySet } = context;
  const { accessKeyId, secretAccessKey } = credentialsOf(roleArn, region);
  const observed = environment['OBSERVED'];
  return {
    ...environment,
    ...('JWT_KEY_SET' in environment ? { JWT_KEY_SET: jwtKeySet } : {}),
    ...(observed === undefined ? {} : { OBSERVED: observedFrom(observed, context) }),
    AWS_ENDPOINT_URL: awsEndpoint,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
}

/** Same regions, same pace, other places. */
function observedFrom(text: string, { awsEndpoint, region, probes }: SubstitutionContext): string {
  const observed: unknown = JSON.parse(text);
  if (!isFields(observed) || !isFields(observed['endpoints']) || !isFields(observed['controls']))
    throw new Error(`OBSERVED: expected {"endpoints":{…},"controls":{…},…}, got ${text}`);
  const endpoints = Object.keys(observed['endpoints']).map((watched) => {
    const url = probes[watched];
    if (url === undefined)
      throw new Error(
        `OBSERVED: ${region} watches ${watched}; there are links to ${Object.keys(probes).join(', ')}`,
      );
    return [watched, url];
  });
  const controls = Object.keys(observed['controls']).map((to) => [
    to,
    `${awsEndpoint}/reach/${region}/${to}`,
  ]);
  return JSON.stringify({
    ...observed,
    endpoints: Object.fromEntries(endpoints),
    controls: Object.fromEntries(controls),
  });
}
