// A device has notes to deliver; how many a second, from the decision to send until the last one is acknowledged. Our
// library and our service against PouchDB with express-pouchdb, and against a request a note to a usual service on our
// table. All reach their service over links alike. Near the service it is the stores that are compared, and ours is an
// emulated DynamoDB; what a library is for shows on a line as devices have it, which is what is judged.
import { randomBytes } from 'node:crypto';
import { openLink } from '../../rehearsal/supervisor/link.ts';
import type { Ratio } from '../benchmark.ts';
import { installPeers } from '../peers.ts';
import { type Side, startSide } from '../processes.ts';
import type { DeviceAnswers, Errand } from './library-device.ts';
import type { ServiceAnswers } from './peer-service.ts';
import type { Plant } from './plant.ts';

/** The specification's slow network, as the drill `slow-network` plays it: 10 Mbit/s, half a second there and back. */
const SLOW = { delayMs: 250, bytesPerSecond: 10_000_000 / 8 };
const NEAR = { delayMs: 0, bytesPerSecond: 0 };
const NOTES = 1_000;
const ROUNDS = 3;
/** As many as the push function writes at once; the library itself has four batches under way. */
const REQUESTS_AT_ONCE = 32;
const TARGET = 5;

interface Contender {
  readonly name: string;
  readonly device: Side<DeviceAnswers>;
  readonly link: Awaited<ReturnType<typeof openLink>>;
  readonly token?: string;
}

export async function endToEnd(plant: Plant): Promise<Ratio[]> {
  const problem = installPeers();
  if (problem !== undefined) {
    console.log(`  not run: ${problem}`);
    return [];
  }
  const ends: (() => unknown)[] = [];
  const own = <T extends { end(): void }>(side: T): T => {
    ends.push(() => side.end());
    return side;
  };
  const contender = async (name: string, file: string, port: number, token?: string): Promise<Contender> => {
    const link = await openLink({ name, targetPort: port });
    ends.push(() => link.close());
    const device = own(await startSide<DeviceAnswers>(file, { atOnce: REQUESTS_AT_ONCE }));
    return { name, device, link, ...(token === undefined ? {} : { token }) };
  };
  try {
    const api = await plant.serve();
    const pouch = own(await startSide<ServiceAnswers>('sync/pouch-service.ts'));
    const express = own(await startSide<ServiceAnswers>('sync/express-service.ts', plant.table));
    const contenders = [
      await contender('client library', 'sync/library-device.ts', api.port, api.token),
      await contender('PouchDB', 'sync/pouch-device.ts', await pouch.ask('port')),
      await contender('a request each', 'sync/request-device.ts', await express.ask('port')),
    ];
    // Beside the service first: that also warms everything up.
    print('beside the service, not judged', await inTurn(contenders, NEAR));
    const rates = await inTurn(contenders, SLOW);
    print('over 10 Mbit/s and 500 ms', rates);
    return ratiosOf(rates);
  } finally {
    await Promise.all(ends.map((end) => end()));
  }
}

/** Notes a second, by contender and round. */
type Rates = ReadonlyMap<string, readonly number[]>;

async function inTurn(contenders: readonly Contender[], conditions: typeof SLOW): Promise<Rates> {
  const rates = new Map(contenders.map(({ name }): [string, number[]] => [name, []]));
  for (const { link } of contenders) link.change(conditions);
  for (let round = 0; round < ROUNDS; round++)
    for (const { name, device, link, token } of contenders) {
      const run = randomBytes(6).toString('hex');
      const url = `http://127.0.0.1:${link.port}`;
      const errand: Errand = { url, run, notes: NOTES, ...(token === undefined ? {} : { token }) };
      rates.get(name)?.push(NOTES / ((await device.ask('deliver', errand)) / 1_000));
    }
  return rates;
}

function print(where: string, rates: Rates): void {
  const all = [...rates].map(([name, values]) => {
    const sorted = values.toSorted((a, b) => a - b).map(Math.round);
    return `${name} ${sorted[Math.floor(sorted.length / 2)]} (${sorted[0]} to ${sorted.at(-1)})`;
  });
  console.log(`  notes a second ${where}: ${all.join(', ')}`);
}

function ratiosOf(rates: Rates): Ratio[] {
  const [ours = [], pouch = [], each = []] = [...rates.values()];
  const against = (theirs: readonly number[]) => ours.map((rate, round) => rate / (theirs[round] as number));
  return [
    {
      name: 'client library / PouchDB to express-pouchdb, 10 Mbit/s and 500 ms',
      values: against(pouch),
      target: {
        bound: 'at least',
        value: TARGET,
        reason:
          'a batch is one round trip, and four are under way; replication takes several for each batch in turn',
      },
    },
    {
      name: `client library / a PutItem a request, ${REQUESTS_AT_ONCE} at once, 10 Mbit/s and 500 ms`,
      values: against(each),
      target: {
        bound: 'at least',
        value: TARGET,
        reason: 'a round trip carries a hundred operations, not one',
      },
    },
  ];
}
