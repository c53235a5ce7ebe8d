// The conflicts of records as a client of the API is shown them, page by page: from the item's outbox, and from the audit
// bucket once the archivers have carried them there.
import { Agent } from 'node:http';
import { type ConflictsResponse, PATHS } from '../../../protocol/messages.ts';
import { getPlainly } from '../plain-http.ts';
import { DrillError } from '../system.ts';

const AT_ONCE = 8;
const TIMEOUT_MS = 30_000;

/** Hashes of all entries that are shown of these records, `<collection>/<id>`. */
export async function conflictsShown(
  endpoint: string,
  token: string,
  keys: Iterable<string>,
): Promise<ReadonlySet<string>> {
  const shown = new Set<string>();
  const agent = new Agent({ keepAlive: true });
  const ask = async (path: string): Promise<ConflictsResponse> => {
    const headers = { authorization: `Bearer ${token}` };
    const { status, body } = await getPlainly(endpoint + path, { agent, timeoutMs: TIMEOUT_MS, headers });
    if (status !== 200) throw new DrillError(`${path} is answered ${status}: ${body.slice(0, 300)}`);
    return JSON.parse(body) as ConflictsResponse;
  };
  const waiting = [...keys].values();
  const reader = async () => {
    for (const key of waiting) for (const hash of await ofRecord(key, ask)) shown.add(hash);
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, reader));
  } finally {
    agent.destroy();
  }
  return shown;
}

async function ofRecord(
  key: string,
  ask: (path: string) => Promise<ConflictsResponse>,
): Promise<readonly string[]> {
  const [collection = '', id = ''] = key.split('/');
  const path = PATHS.conflicts.replace('{collection}', collection).replace('{id}', id);
  const hashes: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await ask(cursor === undefined ? path : `${path}?cursor=${encodeURIComponent(cursor)}`);
    hashes.push(...page.conflicts.map(({ hash }) => hash));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return hashes;
}
