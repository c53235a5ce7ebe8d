// The invariants of PROTOCOL §9 that only the end can tell: nothing is lost, everybody has the same, every chain holds.
import { createHash } from 'node:crypto';
import { auditKey, losingPayloadKey, walkChain } from '../../protocol/audit.ts';
import { ATTRIBUTES, recordKeyOf, recordPk } from '../../protocol/items.ts';
import { COLLECTION } from './author.ts';
import { type Made, payloadOf, type Restore, Violation } from './chronicle.ts';
import type { Device } from './device.ts';
import { ALL_REGIONS } from './functions.ts';
import { nameOf } from './verdicts.ts';
import type { World } from './world.ts';

/** Devices keep what is settled for 24 h by their own clocks, which are up to an hour off either way. */
const KEPT_MS_MIN = 21 * 3_600_000;

/** Throws the first {@link Violation}. */
export async function judgeOutcome(world: World): Promise<void> {
  for (const device of world.devices) device.checkCounts();
  if (world.violation) throw world.violation;
  judgeConvergence(world);
  judgeLosses(world);
  await judgeChains(world);
}

function judgeConvergence({ devices, keys, table, chronicle }: World): void {
  for (const device of devices) {
    for (const id of keys) {
      const item = table.head(recordPk({ tenant: device.tenant, collection: COLLECTION, id }));
      const deleted = item === undefined || item[ATTRIBUTES.deleted]?.BOOL === true;
      const version = deleted ? undefined : item[ATTRIBUTES.version]?.S;
      const held = device.queue?.get(COLLECTION, id);
      if (
        held?.version === version &&
        (held === undefined || payloadText(held.payload) === item?.[ATTRIBUTES.payload]?.S)
      )
        continue;
      const missed = version !== undefined && (held === undefined || held.version < version);
      const what = `${device.name} has ${held?.version ?? 'nothing'} of ${id}, the table ${version ?? 'nothing'}`;
      throw new Violation(missed || deleted ? '6 a pull misses nothing' : '3 all converge', what);
    }
    if (device.queue && device.queue.restoreEpoch < (chronicle.restores.at(-1)?.epoch ?? 0))
      throw new Violation('6 a pull misses nothing', `${device.name} does not know of the last restore`);
  }
}

function payloadText(payload: unknown): string {
  return JSON.stringify(payload);
}

/** (1): every acknowledged operation was the state, or is in the audit log, or in quarantine. */
function judgeLosses(world: World): void {
  const { chronicle, devices } = world;
  const quarantined = new Set(
    devices.flatMap(({ queue }) =>
      [...(queue?.quarantine() ?? [])].map(({ session, sequence }) => `${session}:${sequence}`),
    ),
  );
  for (const made of chronicle.made.values()) {
    if (!made.acknowledged || quarantined.has(made.id)) continue;
    if (wasState(world, made) || isAudited(world, made)) continue;
    if (isBeyondWindow(world, made)) continue;
    throw new Violation('1 nothing acknowledged is lost', `${nameOf(made)}, ${made.id}, is nowhere`);
  }
}

function wasState({ chronicle }: World, made: Made): boolean {
  return chronicle
    .statesOf(made.pk)
    .some(
      (state) => state.made === made && chronicle.isInLineage(state.entry) && isTrue(made, state.payload),
    );
}

function isTrue(made: Made, payload: string | undefined): boolean {
  return payload === payloadOf(made);
}

/** Lost a decision whose entry holds its payload, or names one that a bucket holds. */
function isAudited(world: World, made: Made): boolean {
  const { chronicle, buckets } = world;
  return chronicle.audited.some(({ incoming, content, text, pk, sequence }) => {
    if (incoming !== made || content.outcome !== 'stored') return false;
    if (!stands(world, pk, sequence, text)) return false;
    const lost = payloadOf(made);
    if (lost === undefined || content.lost === lost) return true;
    const payload = buckets.objects(content.region).get(losingPayloadKey(made.tenant, sha256Of(lost)));
    return payload === lost;
  });
}

/** A restore undid it, and its device learnt of that too late: what is settled is kept for 24 hours. */
function isBeyondWindow({ chronicle, devices }: World, made: Made): boolean {
  const device = devices.find(({ name }) => name === made.device);
  return chronicle.restores.some((restore) => {
    const noticedMs = noticedAt(device, restore);
    return (
      made.settledAtMs !== undefined && noticedMs !== undefined && noticedMs - made.settledAtMs > KEPT_MS_MIN
    );
  });
}

function noticedAt(device: Device | undefined, { epoch }: Restore): number | undefined {
  if (device === undefined || epoch === undefined) return undefined;
  const later = [...device.noticed].filter(([noticed]) => noticed >= epoch).map(([, atMs]) => atMs);
  return later.length === 0 ? undefined : Math.min(...later);
}

/** (5): in every region's bucket, together with what still stands in the outbox. */
async function judgeChains(world: World): Promise<void> {
  const { table, buckets, chronicle } = world;
  for (const pk of table.headKeys()) {
    const key = recordKeyOf(pk);
    const item = table.head(pk);
    const sequence = Number(item?.[ATTRIBUTES.auditSequence]?.N ?? 0);
    if (key === undefined || sequence === 0) continue;
    const hash = item?.[ATTRIBUTES.auditHead]?.S ?? '';
    const outbox = new Map(
      (item?.[ATTRIBUTES.outbox]?.L ?? []).map(({ S: text = '' }) => [sha256Of(text), text]),
    );
    for (const region of ALL_REGIONS) {
      const walked = await walkChain(
        { sequence, hash },
        async (at, of) => outbox.get(of) ?? buckets.objects(region).get(auditKey(key, at, of)),
        sha256Of,
      );
      if ('entries' in walked) continue;
      const { broken } = walked;
      throw new Violation(
        '5 audit chains',
        `${pk} in ${region}: entry ${broken.sequence} ${broken.hash.slice(0, 8)}: ${broken.what}`,
      );
    }
  }
  for (const { pk, sequence, text, entry } of chronicle.audited) {
    // No archiver anywhere read it within a day, and then a restore undid what it tells of.
    const isGone = world.streams.expired.get(entry) === ALL_REGIONS.length && !chronicle.isInLineage(entry);
    if (!isGone && !stands(world, pk, sequence, text))
      throw new Violation('5 audit chains', `entry ${sequence} of ${pk} is nowhere`);
  }
}

/** Whether an entry is in the outbox, or in a bucket. */
function stands({ table, buckets }: World, pk: string, sequence: number, text: string): boolean {
  const key = recordKeyOf(pk);
  if (table.head(pk)?.[ATTRIBUTES.outbox]?.L?.some(({ S }) => S === text)) return true;
  const name = key && auditKey(key, sequence, sha256Of(text));
  return name !== undefined && ALL_REGIONS.some((region) => buckets.objects(region).has(name));
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
