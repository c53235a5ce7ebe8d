// Keeps the application's token until the service refuses it; however many requests need one, it is asked for once.
import type { TokenSource } from './options.ts';

export class TokenKeeper {
  readonly #source: TokenSource;
  #current: string | undefined;
  #refused: string | undefined;
  #pending: Promise<string> | undefined;

  constructor(source: TokenSource) {
    this.#source = source;
  }

  /** Known good, as far as anyone said. */
  get current(): string | undefined {
    return this.#current;
  }

  /** The service answered 401 to it. A newer one stays. */
  refuse(token: string): void {
    this.#refused = token;
    if (this.#current === token) this.#current = undefined;
  }

  /** The current token, or a new one; rejects with what the source threw, or a TypeError when it gave no token. */
  get(): Promise<string> {
    if (this.#current !== undefined) return Promise.resolve(this.#current);
    this.#pending ??= this.#ask().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #ask(): Promise<string> {
    const token = await this.#source(this.#refused);
    // A line break in it would be refused by the HTTP layer with a message that shows the token.
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
      throw new TypeError(`a token is visible ASCII text without spaces, got ${describe(token)}`);
    this.#current = token;
    return token;
  }
}

function describe(token: unknown): string {
  return typeof token === 'string' ? `${token.length} characters of something else` : String(token);
}
