// Text that comes in pieces, cut into its lines, in as much memory as a piece and a line take. Cut as bytes and read line
// by line: most lines are ASCII and are kept, parsed and hashed as such, whatever stands in the line beside them.

/** A line of more than an item of 400 KB, both its images and their names can make is none. */
export const LINE_BYTES_MAX = 4 * 1024 * 1024;

const BREAK = 0x0a;
const NOTHING = new Uint8Array();

/**
 * As many lines at a time as a piece ended. The last one may end without a line break.
 * @throws {TypeError} it is not UTF-8, or a line does not end
 */
export async function* lineBatches(source: AsyncIterable<Uint8Array>): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let rest = NOTHING;
  for await (const piece of source) {
    const lines: string[] = [];
    let from = 0;
    for (let to = piece.indexOf(BREAK); to >= 0; to = piece.indexOf(BREAK, from)) {
      const end = piece.subarray(from, to);
      lines.push(decoder.decode(rest.length === 0 ? end : joined(rest, end)));
      rest = NOTHING;
      from = to + 1;
    }
    if (lines.length > 0) yield lines;
    // A copy: the piece is its giver's.
    rest = joined(rest, piece.subarray(from));
    if (rest.length > LINE_BYTES_MAX) throw new TypeError(`a line of more than ${LINE_BYTES_MAX} bytes`);
  }
  if (rest.length > 0) yield [decoder.decode(rest)];
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
