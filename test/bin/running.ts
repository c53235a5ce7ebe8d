// A command of `bin/` as an operator runs it: a process of its own, with somebody's keys, on buckets as AWS has them.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startAws } from '../../rehearsal/aws/aws.ts';
import { credentialsOf, OPERATOR } from '../../rehearsal/aws/credentials.ts';
import {
  ACCOUNT,
  deploymentOf,
  keys,
  PRIMARY,
  REGIONS,
  recordsTable,
  resource,
} from '../rehearsal/fake-deployment.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Of `bin/<name>.ts`. Its keys are nobody's unless `environment` says other ones; no call is tried twice. */
export async function runCommand(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const env = { ...process.env, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_MAX_ATTEMPTS: '1' };
  const file = join(import.meta.dirname, '../../bin', `${name}.ts`);
  try {
    const ran = await promisify(execFile)(process.execPath, [file, ...args], {
      env: { ...env, ...environment },
    });
    return { code: 0, ...ran };
  } catch (error) {
    return error as Ran;
  }
}

/** The table, a bucket of a part in every region, and an operator's environment for them. */
export async function startWithBuckets(part: 'audit' | 'backup') {
  const bucketOf = (region: string) => `eden-field-dev-${part}-${region}-${ACCOUNT}`;
  const buckets = REGIONS.map((region) =>
    resource(
      'AWS::S3::Bucket',
      {},
      { region, physicalId: bucketOf(region), arn: `arn:aws:s3:::${bucketOf(region)}` },
    ),
  );
  const aws = await startAws({ deployment: deploymentOf(...keys(), recordsTable(), ...buckets) });
  const credentials = credentialsOf(OPERATOR, PRIMARY);
  const environment = {
    AWS_ENDPOINT_URL: aws.endpoint,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  return { aws, bucketOf, credentials, environment };
}
