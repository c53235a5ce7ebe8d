// Access keys without a key service: everybody who knows a principal and a region can work out the same pair, so the
// rehearsal's processes need not tell each other. Nothing here protects anything.
import { createHash } from 'node:crypto';

/** The one principal that may do everything: the person at the keyboard and the operator commands. */
export const OPERATOR = 'arn:aws:iam::000000000000:user/operator';

/** Where whoever is in no region works from: clients, and an operator at a keyboard. */
export const OUTSIDE = 'client';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The access key with which `principalArn` works from `region`, or from {@link OUTSIDE}. */
export function credentialsOf(principalArn: string, region: string): Credentials {
  const digest = (purpose: string) => createHash('sha256').update(`${purpose}\n${principalArn}\n${region}`);
  // As AWS writes them: 20 letters and digits after AKIA's pattern, 40 characters of base64.
  const letters = digest('id').digest('hex').slice(0, 16).toUpperCase();
  return {
    accessKeyId: `AKIA${letters}`,
    secretAccessKey: digest('secret').digest('base64').slice(0, 40),
  };
}
