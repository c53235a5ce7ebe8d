// Every record's trail in every region that was asked for: a line each, a sum for each region, the first broken link.
import { auditFolder } from '../../protocol/audit.ts';
import type { RecordKey } from '../../protocol/names.ts';
import { type HeldRecord, recordsOf } from './listing.ts';
import type { AuditPlace } from './places.ts';
import { type Arrival, nameOf, type RecordReport, verifyRecord } from './verify.ts';

export interface VerifyAllOptions {
  /** @default every record that some place has entries of */
  readonly record?: RecordKey | undefined;
  /** Whose trails are verified. */
  readonly places: readonly AuditPlace[];
  /** Beside those, where to look for what is missing. */
  readonly peers: readonly AuditPlace[];
  readonly arrival: Arrival;
  readonly say: (line: string) => void;
}

/** Records looked at side by side. */
const RECORDS_AT_ONCE = 8;

class Totals {
  records = 0;
  entries = 0;
  payloads = 0;
  broken = 0;
  first: string | undefined;
}

/** Whether everything holds. */
export async function verifyAll({ record, places, peers, arrival, say }: VerifyAllOptions): Promise<boolean> {
  const totals = new Map(places.map((place) => [place, new Totals()]));
  const everywhere = [...places, ...peers];

  async function look(group: readonly HeldRecord[]): Promise<void> {
    const reports = await Promise.all(
      group.flatMap(({ record: of, keys }) =>
        [...totals].map(async ([place, total]) => ({
          place,
          total,
          report: await verifyRecord(of, keys.get(place) ?? [], { place, peers: everywhere, arrival }),
        })),
      ),
    );
    for (const { place, total, report } of reports) say(`${place.region}  ${add(total, report)}`);
  }

  let group: HeldRecord[] = [];
  for await (const held of record ? oneRecord(record, places) : everyRecord(places, say)) {
    group.push(held);
    if (group.length < RECORDS_AT_ONCE) continue;
    await look(group);
    group = [];
  }
  await look(group);

  for (const [{ region }, { records, entries, payloads, broken, first }] of totals) {
    say(
      `${region}: ${records} records, ${entries} entries, ${payloads} payloads beside them, ${broken} broken`,
    );
    if (first !== undefined) say(`  the first that is broken: ${first}`);
  }
  return [...totals.values()].every(({ broken }) => broken === 0);
}

function everyRecord(places: readonly AuditPlace[], say: (line: string) => void): AsyncIterable<HeldRecord> {
  return recordsOf(places, ({ key, places: having }) =>
    say(`${[...having].map(({ region }) => region).join(', ')}  ${key} names no audit entry: left alone`),
  );
}

async function* oneRecord(record: RecordKey, places: readonly AuditPlace[]): AsyncGenerator<HeldRecord> {
  const keys = new Map<AuditPlace, readonly string[]>();
  for (const place of places) keys.set(place, await Array.fromAsync(place.keys(auditFolder(record))));
  yield { record, keys };
}

/** Returns what there is to say of it. */
function add(total: Totals, report: RecordReport): string {
  const { record, entries, payloads, from, headless, branches, broken } = report;
  total.records += 1;
  total.entries += entries;
  total.payloads += payloads;
  if (broken) {
    const link = `${nameOf(record)} entry ${broken.sequence} (${broken.hash}): ${broken.what}`;
    total.broken += 1;
    total.first ??= link;
    return `BROKEN  ${link}`;
  }
  const notes = [`${entries} entries`];
  if (from === 'swept') notes.push('no item any more, so that the walk began at the highest entry');
  if (branches > 0) notes.push(`with ${branches} branch${branches > 1 ? 'es that were' : ' that was'} left`);
  const earlier = from === 'swept' ? headless - 1 : headless;
  if (earlier > 0)
    notes.push(
      `${earlier} more whose end nothing names: from before a sweep or a restore, or a branch not left yet`,
    );
  return `holds   ${nameOf(record)}: ${notes.join('; ')}`;
}
