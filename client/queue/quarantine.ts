// Operations the server will never take, kept with the reason until a person or program decides.
import type { Json } from '../../protocol/operations.ts';
import type { NewEdit, QuarantinedOperation } from './contract.ts';
import { InvalidEditError } from './errors.ts';
import { type Outcome, parseLine } from './format.ts';
import type { Group, Ledger } from './ledger.ts';
import type { ReadLines } from './lines.ts';

interface Place {
  readonly group: Group;
  readonly index: number;
  readonly outcome: Outcome & { readonly state: 'quarantined' };
}

/** As of now: what is resubmitted or discarded while this is read still comes. */
export function* listQuarantine(ledger: Ledger, lines: ReadLines): Iterable<QuarantinedOperation> {
  for (const { group, index, outcome } of [...places(ledger)]) {
    const { kind, collection, id, version, payload } = parseLine(lines(group)[index] as string);
    const edit: NewEdit =
      kind === 'put'
        ? { kind, collection, id, payload: JSON.parse(payload) as Json }
        : { kind, collection, id };
    const { reason, detail, at, stamp } = outcome;
    const named = { session: group.session, sequence: group.sequence + index };
    yield { ...named, edit, version: stamp?.version ?? version, reason, detail, at };
  }
}

export function findQuarantined(ledger: Ledger, session: string, sequence: number): Place {
  for (const place of places(ledger))
    if (place.group.session === session && place.group.sequence + place.index === sequence) return place;
  throw notInQuarantine(`${session}:${sequence}`);
}

export function notInQuarantine(got: string): InvalidEditError {
  return new InvalidEditError('quarantine', 'the session and sequence of a quarantined operation', got);
}

function* places(ledger: Ledger): Iterable<Place> {
  for (const group of ledger.groups.values())
    for (const [index, outcome] of (group.outcomes ?? []).entries())
      if (outcome?.state === 'quarantined') yield { group, index, outcome };
}
