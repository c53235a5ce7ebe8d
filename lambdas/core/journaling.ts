// A batch of a replica's stream as the journal keeps it (DESIGN §6): changes in the stream's order, whole, cut into
// segments by the hour they happened in. A record that cannot be read as a change is poison: it is set apart as it came,
// and the others do not wait for it.

import { ATTRIBUTES } from '../../protocol/items.ts';
import {
  compareSequenceNumbers,
  type ImageJson,
  isImage,
  isJournalTime,
  isSequenceNumber,
  type JournalChange,
  journalHour,
} from '../../protocol/journal.ts';
import { isVersion, type Version } from '../../protocol/versions.ts';

/** A record of DynamoDB Streams' event. Nothing is taken for granted: what is not there makes it poison. */
export interface StreamedChange {
  readonly eventName?: string | undefined;
  readonly dynamodb?:
    | {
        readonly SequenceNumber?: string | undefined;
        /** Unix seconds. */
        readonly ApproximateCreationDateTime?: number | undefined;
        readonly Keys?: unknown;
        readonly NewImage?: unknown;
        readonly OldImage?: unknown;
      }
    | undefined;
}

export interface Poison {
  /** Undefined when it has none: then nothing can be said of it but with the whole batch. */
  readonly sequenceNumber: string | undefined;
  /** Undefined when it does not say. */
  readonly atMs: number | undefined;
  /** The record as it came. */
  readonly text: string;
  readonly why: string;
}

export interface JournalPlan {
  /** Each of one hour and in the stream's order, the earliest hour first. */
  readonly segments: readonly (readonly JournalChange[])[];
  readonly poison: readonly Poison[];
  /** Of the earliest change or poison, Unix ms; undefined when none says. */
  readonly oldestMs: number | undefined;
}

export function planJournal(records: readonly StreamedChange[]): JournalPlan {
  const poison: Poison[] = [];
  const changes: JournalChange[] = [];
  for (const record of records) {
    const change = changeOf(record);
    if (typeof change !== 'string') changes.push(change);
    else poison.push({ ...placeOf(record), text: JSON.stringify(record), why: change });
  }
  changes.sort((a, b) => compareSequenceNumbers(a.seq, b.seq));
  const hours = Map.groupBy(changes, ({ at }) => journalHour(at));
  const times = [...changes.map(({ at }) => at), ...poison.flatMap(({ atMs }) => atMs ?? [])];
  return {
    segments: [...hours].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, segment]) => eachOnce(segment)),
    poison,
    oldestMs: times.length === 0 ? undefined : times.reduce((a, b) => Math.min(a, b)),
  };
}

/** The change that a record tells of, or why it is none. */
function changeOf({ eventName, dynamodb = {} }: StreamedChange): JournalChange | string {
  const { SequenceNumber: seq, Keys: keys, NewImage: fresh, OldImage: old } = dynamodb;
  if (!isSequenceNumber(seq)) return `expected a SequenceNumber, got ${JSON.stringify(seq)}`;
  const at = timeOf(dynamodb.ApproximateCreationDateTime);
  if (at === undefined) return 'expected an ApproximateCreationDateTime in Unix seconds';
  const [pk, sk] = [textIn(keys, ATTRIBUTES.pk), textIn(keys, ATTRIBUTES.sk)];
  if (pk === undefined || sk === undefined) return 'expected Keys with the texts pk and sk';
  if (old !== undefined && !isImage(old)) return 'expected an OldImage that is an item, or none';
  const image = imageOf(eventName, fresh);
  if (typeof image === 'string') return image;
  const [before, commitVersion] = [versionIn(old), versionIn(image)];
  return {
    seq,
    at,
    pk,
    sk,
    ...(before === undefined ? {} : { before }),
    ...(commitVersion === undefined ? {} : { commitVersion }),
    image,
  };
}

/** An image that is not there is a removal only where the stream says so: the stream may have lost its images. */
function imageOf(eventName: string | undefined, fresh: unknown): ImageJson | null | string {
  if (eventName === 'REMOVE')
    return fresh === undefined ? null : 'expected no NewImage of a removal, got one';
  if (eventName !== 'INSERT' && eventName !== 'MODIFY')
    return `expected INSERT, MODIFY or REMOVE, got ${JSON.stringify(eventName)}`;
  return isImage(fresh) ? fresh : `expected a NewImage of ${eventName} that is an item`;
}

function placeOf({ dynamodb = {} }: StreamedChange): Pick<Poison, 'sequenceNumber' | 'atMs'> {
  const { SequenceNumber: seq, ApproximateCreationDateTime: seconds } = dynamodb;
  // Lambda takes back whatever it gave, well formed or not.
  return { sequenceNumber: typeof seq === 'string' && seq !== '' ? seq : undefined, atMs: timeOf(seconds) };
}

function timeOf(seconds: unknown): number | undefined {
  const ms = typeof seconds === 'number' ? Math.round(seconds * 1_000) : undefined;
  return isJournalTime(ms) ? ms : undefined;
}

function textIn(item: unknown, attribute: string): string | undefined {
  const value = isImage(item) ? item[attribute]?.['S'] : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function versionIn(image: ImageJson | null | undefined): Version | undefined {
  const value = image?.[ATTRIBUTES.commitVersion]?.['S'];
  return isVersion(value) ? value : undefined;
}

/** In order, so that the same number stands side by side. */
function eachOnce(changes: readonly JournalChange[]): readonly JournalChange[] {
  return changes.filter(({ seq }, index) => {
    const before = changes[index - 1];
    return !before || compareSequenceNumbers(before.seq, seq) !== 0;
  });
}
