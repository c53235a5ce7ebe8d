// What a region process plays of the templates, and what of its own services it leaves out: read without starting
// anything, so that the supervisor can say it once for all regions.

import type { Deployment } from '../assembly/assembly.ts';
import * as apiGateway from './api-gateway-model.ts';
import { PLAYED_TYPES as EVENT_SOURCE_TYPES, mappingsOf } from './event-source-mappings.ts';
import { PLAYED_TYPES as LAMBDA_TYPES } from './lambda-functions.ts';
import { queueMappingsOf } from './queue-mappings.ts';
import { PLAYED_TYPES as SCHEDULER_TYPES, schedulesOf } from './scheduler.ts';

export const PLAYED_TYPES: readonly string[] = [
  ...apiGateway.PLAYED_TYPES,
  ...EVENT_SOURCE_TYPES,
  ...LAMBDA_TYPES,
  ...SCHEDULER_TYPES,
];

/** Settings of functions that have no counterpart here; what is missing changes what a rehearsal shows. */
const UNPLAYED_FUNCTION_SETTINGS = [
  'DeadLetterConfig',
  'FileSystemConfigs',
  'ImageConfig',
  'Layers',
  'SnapStart',
  'VpcConfig',
];

/** Settings of played types that are not played, as `<stack>/<logical id>: <what>`. */
export function unrehearsedSettings(deployment: Deployment): readonly string[] {
  const regions = [...new Set(deployment.resources.map(({ region }) => region))];
  const functions = deployment
    .ofType('AWS::Lambda::Function')
    .flatMap(({ stack, logicalId, properties }) =>
      UNPLAYED_FUNCTION_SETTINGS.filter((setting) => properties[setting] !== undefined).map(
        (setting) => `${stack}/${logicalId}: AWS::Lambda::Function ${setting}`,
      ),
    );
  return [
    ...functions,
    ...regions.flatMap((region) => apiGateway.apisOf(deployment, region).notRehearsed),
    ...regions.flatMap((region) => mappingsOf(deployment, region).notRehearsed),
    ...regions.flatMap((region) => queueMappingsOf(deployment, region).notRehearsed),
    ...regions.flatMap((region) => schedulesOf(deployment, region).notRehearsed),
  ];
}
