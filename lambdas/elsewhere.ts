// Which other region's replica had a part in the answer under way. One environment may work on many requests at once
// and they share its store, so the note is kept by the request's own chain of calls (AsyncLocalStorage): whatever a
// route calls, however deep, is noted, and no route has to think of it.
import { AsyncLocalStorage } from 'node:async_hooks';

export interface AnsweredElsewhere {
  /** The region that the last call to another region's replica went to; undefined when none did. */
  elsewhere: string | undefined;
}

const underWay = new AsyncLocalStorage<AnsweredElsewhere>();

/** Runs `answer`; what it asks of other regions is noted in `request`. */
export function duringRequest<T>(request: AnsweredElsewhere, answer: () => T): T {
  return underWay.run(request, answer);
}

/** Outside of a request there is nobody to tell. */
export function noteElsewhere(region: string): void {
  const request = underWay.getStore();
  if (request) request.elsewhere = region;
}
