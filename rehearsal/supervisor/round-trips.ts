// How far places are from each other: round trips in ms, as a typical request sees them (p50).

/**
 * Assumed, in round numbers, with clients near the middle of the country. The medians of today stand in AWS Network
 * Manager under Infrastructure Performance:
 * https://docs.aws.amazon.com/network-manager/latest/infrastructure-performance/how-nmip-works.html
 */
const ROUND_TRIPS_MS: readonly (readonly [string, string, number])[] = [
  ['us-east-1', 'us-east-2', 12],
  ['us-east-2', 'us-west-2', 50],
  ['us-east-1', 'us-west-2', 62],
  ['client', 'us-east-2', 16],
  ['client', 'us-west-2', 36],
  ['client', 'us-east-1', 26],
];

/** Any other pair, Route 53's checkers among them, which stand all over the world. */
const OTHER_MS = 80;

/** There and back, between regions or from `client` or `checkers`; the same in both directions, 0 within a place. */
export function roundTripMs(from: string, to: string): number {
  if (from === to) return 0;
  const listed = ROUND_TRIPS_MS.find(([a, b]) => (a === from && b === to) || (a === to && b === from));
  return listed?.[2] ?? OTHER_MS;
}
