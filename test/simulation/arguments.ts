// What the commands take, checked.

/** @throws RangeError naming the option, what was expected and what came */
export function wholeOf(option: string, text: string, min: number): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < min)
    throw new RangeError(`--${option}: expected a whole number from ${min}, got ${text}`);
  return number;
}
