// How a child of this process runs TypeScript. Node 24 does by itself; Node 22.13, the oldest the client library runs
// on, wants a flag, which a child does not inherit: `node --experimental-strip-types --test …` hands it on from here.

/** In front of the script's name. */
export const TYPESCRIPT_FLAGS: readonly string[] = process.execArgv.filter(
  (flag) => flag === '--experimental-strip-types',
);
