// The user of a device: what they have been shown, and what they make on top of it. An edit is known before the queue
// has it, so that one which a crash leaves half done can still be told from one that nobody made.

import type { LocalRecord } from '../../client/queue/contract.ts';
import { recordPk } from '../../protocol/items.ts';
import type { Change } from '../../protocol/messages.ts';
import { type Chronicle, type Made, Violation } from './chronicle.ts';

export const COLLECTION = 'notes';

export interface AuthorParts {
  readonly device: string;
  readonly tenant: string;
  readonly chronicle: Chronicle;
  /** The next payload's number. */
  readonly nextToken: () => number;
}

export class Author {
  readonly #parts: AuthorParts;
  readonly #seen = new Map<string, Set<string>>();
  readonly #lastOwn = new Map<string, Made>();
  #edits = 0;

  constructor(parts: AuthorParts) {
    this.#parts = parts;
  }

  /** `shown`: what the device shows of the record right now. */
  make(name: string, id: string, kind: 'put' | 'delete', shown: LocalRecord | undefined): Made {
    const { device, tenant, chronicle, nextToken } = this.#parts;
    const pk = recordPk({ tenant, collection: COLLECTION, id });
    const lastOwn = this.#lastOwn.get(pk);
    const pending = lastOwn?.settledAtMs === undefined ? lastOwn : undefined;
    const base = pending ?? (shown && chronicle.madeOf(pk, shown.version, JSON.stringify(shown.payload)));
    const made: Made = {
      id: name,
      device,
      tenant,
      pk,
      kind,
      token: nextToken(),
      order: this.#edits,
      seen: new Set(this.#seen.get(pk)),
      ancestors: new Set(base && [base.id, ...base.ancestors]),
      acknowledged: false,
      settledAtMs: undefined,
      rejected: false,
    };
    this.#edits += 1;
    this.#lastOwn.set(pk, made);
    chronicle.add(made);
    return made;
  }

  /** A page came in. Throws when it holds what another tenant made. */
  see(changes: readonly Change[]): void {
    const { device, tenant, chronicle } = this.#parts;
    for (const { collection, id, version, payload } of changes) {
      const made = payload === undefined ? undefined : chronicle.madeWith(payload);
      if (made && made.tenant !== tenant)
        throw new Violation('tenants are apart', `${device} of ${tenant} was given what ${made.device} made`);
      const pk = recordPk({ tenant, collection, id });
      const seen = this.#seen.get(pk) ?? new Set();
      this.#seen.set(pk, seen.add(version));
    }
  }
}
