// A bound on waiting: what is waited for goes on by itself, and whoever waited does too.

/** What `promise` gives; rejects with `why` in words when that takes longer. */
export function within<T>(ms: number, promise: Promise<T>, why: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${why} within ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
