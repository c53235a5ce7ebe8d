// What a caller may invoke, as the IAM policy that API Gateway keeps for the token. It is cached by token alone, so it
// names everything the scopes allow in this stage of the API, not just the method that was asked for.
import { PATHS, SCOPES } from '../../protocol/messages.ts';
import type { Caller } from './tokens.ts';

export interface Policy {
  readonly Version: '2012-10-17';
  readonly Statement: readonly {
    readonly Action: 'execute-api:Invoke';
    readonly Effect: 'Allow' | 'Deny';
    readonly Resource: string[];
  }[];
}

/** A `*` matches slashes too, so reading covers a record's conflicts.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html */
const RECORDS = `${PATHS.records.replace('{collection}', '*')}`.slice(1);
const SYNC = `${PATHS.push.replace('push', '*')}`.slice(1);
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  [SCOPES.read]: [`GET/${RECORDS}`],
  [SCOPES.write]: [`PUT/${RECORDS}`, `DELETE/${RECORDS}`],
  [SCOPES.sync]: [`*/${SYNC}`],
};

/** `methodArn`: `arn:<partition>:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>`. */
export function policyOf({ tenant, scopes }: Caller, methodArn: string): Policy {
  const stageArn = methodArn.split('/').slice(0, 2).join('/');
  const allowed = tenant === undefined ? [] : scopes.flatMap((scope) => ALLOWED[scope] ?? []);
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Action: 'execute-api:Invoke',
        Effect: allowed.length > 0 ? 'Allow' : 'Deny',
        Resource: (allowed.length > 0 ? allowed : ['*']).map((path) => `${stageArn}/${path}`),
      },
    ],
  };
}
