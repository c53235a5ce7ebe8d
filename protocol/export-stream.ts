// A data file of an export from its bytes to its lines, hashed as it comes, in constant memory. One piece is under way at
// a time: what waits in a pipe's buffers outlives the collector's young generation, and then stays until a full collection.
// What hashes and unpacks comes in, since nothing here is a platform's.
import { lineBatches } from './lines.ts';

/** Of `node:crypto` and `node:zlib`: `{ createHash, createGunzip }`. */
export interface StreamTools {
  createHash(algorithm: 'md5'): Md5;
  createGunzip(options: { readonly chunkSize: number }): Gunzip;
}

interface Md5 {
  update(piece: Uint8Array): unknown;
  digest(encoding: 'base64'): string;
}

/** A stream that is written to and read from. */
interface Gunzip extends AsyncIterable<Uint8Array> {
  readonly destroyed: boolean;
  write(piece: Uint8Array, done: (error?: Error | null) => void): unknown;
  end(): unknown;
  /** Reading then ends with the error. */
  destroy(error?: Error): unknown;
}

/** Unpacked on another thread, so far ahead of what is being looked at. */
const CHUNK_BYTES = 64 * 1024;

export class ExportStream {
  readonly #bytes: AsyncIterable<Uint8Array>;
  readonly #gunzip: Gunzip;
  readonly #md5: Md5;
  #size = 0;
  /** Ends the wait for the piece under way, which nobody is told of once the stream is destroyed. */
  #giveUp = () => {};

  /** `bytes`: of the file from its beginning. */
  constructor(bytes: AsyncIterable<Uint8Array>, tools: StreamTools) {
    this.#bytes = bytes;
    this.#gunzip = tools.createGunzip({ chunkSize: CHUNK_BYTES });
    this.#md5 = tools.createHash('md5');
  }

  /** Bytes that have come so far. A partition without items may have a file without one, which is not gzip. */
  get size(): number {
    return this.#size;
  }

  /** Of the bytes that came, once; all of the file's when its {@link lines} were read to their end. */
  md5Base64(): string {
    return this.#md5.digest('base64');
  }

  /**
   * Once; as {@link lineBatches} gives them. Whoever stops early closes the source.
   * @throws {unknown} what the source threw
   * @throws {Error} it is not gzip, or ends before it is whole
   * @throws {TypeError} it is not UTF-8, or a line does not end
   */
  async *lines(): AsyncGenerator<readonly string[]> {
    void this.#feed();
    try {
      yield* lineBatches(this.#gunzip);
    } finally {
      this.#gunzip.destroy();
      this.#giveUp();
    }
  }

  async #feed(): Promise<void> {
    try {
      for await (const piece of this.#bytes) {
        this.#md5.update(piece);
        this.#size += piece.length;
        await this.#write(piece);
        if (this.#gunzip.destroyed) return;
      }
      this.#gunzip.end();
    } catch (error) {
      this.#gunzip.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #write(piece: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#giveUp = resolve;
      this.#gunzip.write(piece, (error) => (error ? reject(error) : resolve()));
    });
  }
}
