// The only values that the rehearsal puts in the place of the template's own, all of them in functions' environments.
// They are printed at start; whatever else a function sees is what it would see deployed.
import { credentialsOf } from '../aws/credentials.ts';
import type { RegionSubstitutions } from '../supervisor/messages.ts';

/** In words, for the person who started the rehearsal. */
export const SUBSTITUTIONS: readonly string[] = [
  "AWS_ENDPOINT_URL: functions call the rehearsal's AWS endpoint",
  "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: made from each function's role and region, no session token",
  "JWT_KEY_SET: the rehearsal's own public key, so that it can sign tokens",
];

export interface SubstitutionContext extends RegionSubstitutions {
  readonly awsEndpoint: string;
  readonly roleArn: string;
  readonly region: string;
}

/** A function's environment with the substitutions made; JWT_KEY_SET only where the template sets it. */
export function substitute(
  environment: Readonly<Record<string, string>>,
  { awsEndpoint, roleArn, region, jwtKeySet }: SubstitutionContext,
): Readonly<Record<string, string>> {
  const { accessKeyId, secretAccessKey } = credentialsOf(roleArn, region);
  return {
    ...environment,
    ...('JWT_KEY_SET' in environment ? { JWT_KEY_SET: jwtKeySet } : {}),
    AWS_ENDPOINT_URL: awsEndpoint,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
}
