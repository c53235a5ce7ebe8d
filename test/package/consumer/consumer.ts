// What a user of the package writes, in a folder that has nothing but the package: strictly typed, from the public
// surface alone. Arguments: `write` or `send`, the queue's file, an endpoint. Prints one line of JSON.
import { openSyncClient } from 'eden-field/client';

const [part, path = '', endpoint = ''] = process.argv.slice(2);
const client = await openSyncClient({ path, endpoints: [endpoint], token: async () => 'a-token' });

if (part === 'write') {
  await client.put('notes', 'n1', { text: 'hello' });
  await client.put('notes', 'n2', { text: 'not for long' });
  await client.delete('notes', 'n2');
  const pending: number = client.pending;
  console.log(
    JSON.stringify({ pending, n1: client.get('notes', 'n1'), n2: client.get('notes', 'n2') ?? null }),
  );
  // Nothing is closed: what was durable has to be there for the next one.
  process.exit();
}

const { recovered } = client;
const read = client.get('notes', 'n1')?.payload;
const verdicts = await client.flush({ signal: AbortSignal.timeout(20_000) });
await client.verify();
console.log(
  JSON.stringify({ recovered, read, verdicts, pending: client.pending, quarantined: client.quarantined }),
);
await client.close();

/** Never called: what the types must refuse. */
export function refused(): void {
  // @ts-expect-error: a function is no JSON
  client.put('notes', 'n1', () => 'text');
  // @ts-expect-error: there is no such member
  client.unheardOf();
  // @ts-expect-error: a client needs a file
  openSyncClient({ endpoints: [endpoint] });
}
