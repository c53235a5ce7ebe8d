// A deployment whose observers nobody calls: the assembly with their schedules disabled, to show that a drill which
// counts on them then fails.
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TEMPLATE = /\.template\.json$/;
const OBSERVER = /-observer$/;

interface Template {
  readonly Resources?: Readonly<
    Record<string, { readonly Type: string; readonly Properties?: Record<string, unknown> }>
  >;
}

/**
 * Copies the assembly and disables what calls its observers; the copy is the caller's to remove.
 * @throws Error nothing in it calls an observer, or it cannot be read
 */
export async function withoutObservers(assemblyDir: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'eden-field-unobserved-'));
  try {
    await cp(assemblyDir, copy, { recursive: true });
    let disabled = 0;
    for (const file of (await readdir(copy)).filter((name) => TEMPLATE.test(name))) {
      const template = JSON.parse(await readFile(join(copy, file), 'utf8')) as Template;
      const schedules = observerSchedulesOf(template);
      for (const properties of schedules) properties['State'] = 'DISABLED';
      disabled += schedules.length;
      if (schedules.length > 0) await writeFile(join(copy, file), JSON.stringify(template));
    }
    if (disabled === 0) throw new Error(`${assemblyDir}: no schedule there calls an observer`);
    return copy;
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    throw error;
  }
}

function observerSchedulesOf({ Resources = {} }: Template): readonly Record<string, unknown>[] {
  return Object.values(Resources).flatMap(({ Type, Properties = {} }) =>
    Type === 'AWS::Scheduler::Schedule' && OBSERVER.test(String(Properties['Name'])) ? [Properties] : [],
  );
}
