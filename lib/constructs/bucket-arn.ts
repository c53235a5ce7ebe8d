// ARNs of buckets and of what is in them, for policies on buckets that another stack makes.
import { ArnFormat, type Stack } from 'aws-cdk-lib';

/** Names of buckets are global, whosever they are. `path`: of objects, e.g. `journal/*`. @default the bucket itself */
export function bucketArn(stack: Stack, bucket: string, path?: string): string {
  return stack.formatArn({
    service: 's3',
    region: '',
    account: '',
    resource: bucket,
    ...(path === undefined
      ? { arnFormat: ArnFormat.NO_RESOURCE_NAME }
      : { resourceName: path, arnFormat: ArnFormat.SLASH_RESOURCE_NAME }),
  });
}
