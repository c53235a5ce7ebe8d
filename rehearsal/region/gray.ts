// A gray failure: the region's health still answers and its work fails, so that whoever asks only for health sees
// nothing wrong. In the worse kind `/ready` answers too, whose own function works: a broken release of another one.
import { PATHS } from '../../protocol/messages.ts';
import type { ApiModel, MethodModel, PathNode } from './api-gateway-model.ts';
import { functionNameOf } from './lambda-functions.ts';
import type { FunctionError } from './lambda-worker.ts';

/** What an invocation that is made to fail ends with: the handler never runs, as with FIS's invocation error and
 * `preventExecution`. https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html#invocation-error */
export const INJECTED_ERROR: FunctionError = {
  errorType: 'Rehearsal.InjectedError',
  errorMessage: 'This invocation was made to fail before the function ran',
};

/** What goes on answering: `/health` alone, or what the observers look at as well. */
export type Spared = 'health' | 'health and ready';

const SPARED: Readonly<Record<Spared, ReadonlySet<string>>> = {
  health: new Set([PATHS.health]),
  'health and ready': new Set([PATHS.health, PATHS.ready]),
};

/** The functions whose invocations fail then, by name: all that a region's APIs lead to, except for what answers a path
 * that is spared. Authorizers, observers and whatever else runs by itself go on. */
export function workingFunctionsOf(
  apis: readonly ApiModel[],
  spared: Spared = 'health',
): ReadonlySet<string> {
  const paths = SPARED[spared];
  const methods = apis.flatMap(({ root }) => methodsBelow(root));
  const named = (path: (resourcePath: string) => boolean) =>
    methods
      .filter(({ resourcePath }) => path(resourcePath))
      .map(({ functionArn }) => functionNameOf(functionArn));
  const sparing = new Set(named((path) => paths.has(path)));
  return new Set(named((path) => !paths.has(path)).filter((name) => !sparing.has(name)));
}

function methodsBelow(node: PathNode): readonly MethodModel[] {
  const below = [...node.literals.values(), node.parameter?.node, node.greedy?.node].filter(
    (it) => it !== undefined,
  );
  return [...node.methods.values(), ...below.flatMap(methodsBelow)];
}
