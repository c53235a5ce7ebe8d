// Function `pretraffic`: CodeDeploy's hook before a new version gets traffic.
import { CodeDeployClient, PutLifecycleEventHookExecutionStatusCommand } from '@aws-sdk/client-codedeploy';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { readNewVersionArn, readPlace } from './env.ts';
import { createPretraffic } from './routes/pretraffic.ts';
import { createTelemetry } from './telemetry.ts';

const functionArn = readNewVersionArn();
const lambda = new LambdaClient({});
const codeDeploy = new CodeDeployClient({});

export const handler = createPretraffic({
  telemetry: createTelemetry(readPlace(), 'deployment'),
  async invoke(payload) {
    const answer = await lambda.send(new InvokeCommand({ FunctionName: functionArn, Payload: payload }));
    return { failed: answer.FunctionError, payload: Buffer.from(answer.Payload ?? []).toString() };
  },
  report: (event, status) =>
    codeDeploy.send(
      new PutLifecycleEventHookExecutionStatusCommand({
        deploymentId: event.DeploymentId,
        lifecycleEventHookExecutionId: event.LifecycleEventHookExecutionId,
        status,
      }),
    ),
});
