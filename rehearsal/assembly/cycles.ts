// CloudFormation refuses a stack whose resources wait for one another in a circle; synth does not notice.
import { AssemblyError } from './assembly-files.ts';

/**
 * @param needs what each resource of the stack needs, by logical id
 * @throws AssemblyError there is a circle; says which way round
 */
export function refuseCycles(stack: string, needs: ReadonlyMap<string, ReadonlySet<string>>): void {
  const done = new Set<string>();
  const visit = (logicalId: string, way: readonly string[]): void => {
    if (done.has(logicalId)) return;
    const start = way.indexOf(logicalId);
    if (start >= 0)
      throw new AssemblyError(
        `resources wait for one another: ${[...way.slice(start), logicalId].join(' → ')}`,
        { stack, logicalId },
      );
    for (const needed of needs.get(logicalId) ?? []) visit(needed, [...way, logicalId]);
    done.add(logicalId);
  };
  for (const logicalId of needs.keys()) visit(logicalId, []);
}
