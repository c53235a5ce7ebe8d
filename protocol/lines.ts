// Text that comes in pieces, cut into its lines, in as much memory as a piece and a line take.

/** A line of more than an item of 400 KB, both its images and their names can make is none. */
export const LINE_CHARACTERS_MAX = 4 * 1024 * 1024;

/**
 * As many lines at a time as a piece ended. The last one may end without a line break.
 * @throws {TypeError} it is not UTF-8, or a line does not end
 */
export async function* lineBatches(source: AsyncIterable<Uint8Array>): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const piece of source) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (lines.length > 0) yield lines;
    if (rest.length > LINE_CHARACTERS_MAX)
      throw new TypeError(`a line of more than ${LINE_CHARACTERS_MAX} characters`);
  }
  rest += decoder.decode();
  if (rest !== '') yield [rest];
}
