// The port of a backup bucket as the journal writes it (DESIGN §6). Keys carry the hash of what stands under them, so
// that putting a thing twice puts the same thing.

/** One region's backup bucket. */
export interface JournalStore {
  /**
   * What stands there already stays: it is the same, by its key.
   * @throws {StoreUnavailableError} the bucket refuses or does not answer; a put that may have landed may be repeated
   */
  put(key: string, content: Uint8Array | string): Promise<void>;
}
