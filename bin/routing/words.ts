// Times in words, for people.

/** E.g. `4 s`, `3 min 12 s`, `2 h 5 min`, `12 d 4 h`; a duration below nothing counts as nothing. */
export function lasting(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** A moment with how long ago it was, e.g. `2026-01-31T04:05:06Z, 3 min ago`. */
export function since(at: number, nowMs: number): string {
  return `${new Date(at).toISOString().replace(/\.\d+/, '')}, ${lasting(nowMs - at)} ago`;
}
