// What versions of objects contain: bytes, metadata and entity tags, with ranges and conditional reads, kept by fauxqs in
// memory. Every version is an object of its own there, named by its version id: fauxqs knows no versions, sorts keys by
// locale and would write over what is locked, so names and their order are ours (objects.ts). It is called in this
// process, without a socket.
import { ServiceError } from '../service-error.ts';

export interface Stored {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

type Headers = Readonly<Record<string, string>>;

/** Of fauxqs' HTTP server, what is used: a request to it that never leaves the process. */
interface Injectable {
  inject(request: {
    method: 'DELETE' | 'GET' | 'HEAD' | 'PUT';
    url: string;
    headers?: Headers;
    payload?: Buffer;
  }): Promise<{
    readonly statusCode: number;
    readonly headers: Readonly<Record<string, number | string | string[] | undefined>>;
    readonly rawPayload: Buffer;
  }>;
  close(): Promise<unknown>;
}

/** One for all, since a version's id is its own. */
const BUCKET = 'versions';
/** fauxqs reads bodies of some types as requests of other services; the true type is kept with the version. */
const TYPE = 'application/octet-stream';
/** Headers that are its own connection's, not the object's. */
const CONNECTION = new Set(['connection', 'content-type', 'date', 'x-amz-id-2', 'x-amz-request-id']);

export class Contents {
  readonly #app: Injectable;

  private constructor(app: Injectable) {
    this.#app = app;
  }

  static async open(): Promise<Contents> {
    // Loaded only where there are buckets: it takes a fifth of a second.
    const { buildApp } = await import('fauxqs');
    const contents = new Contents(buildApp({ logger: false }));
    await contents.#ask('PUT', '', {});
    return contents;
  }

  /** @param headers metadata, checksums and what else describes the content */
  put(versionId: string, headers: Headers, content: Buffer): Promise<Stored> {
    return this.#ask('PUT', versionId, { ...headers, 'content-type': TYPE }, content);
  }

  /** @param headers range and conditions of the request, which its answer follows */
  read(method: 'GET' | 'HEAD', versionId: string, headers: Headers): Promise<Stored> {
    return this.#ask(method, versionId, headers);
  }

  async remove(versionId: string): Promise<void> {
    await this.#ask('DELETE', versionId, {});
  }

  async close(): Promise<void> {
    await this.#app.close();
  }

  async #ask(
    method: 'DELETE' | 'GET' | 'HEAD' | 'PUT',
    versionId: string,
    headers: Headers,
    payload?: Buffer,
  ): Promise<Stored> {
    const answer = await this.#app.inject({
      method,
      url: `/${BUCKET}/${versionId}`,
      headers,
      ...(payload && { payload }),
    });
    if (answer.statusCode >= 500)
      throw new ServiceError(500, {
        __type: 'InternalError',
        message: `fauxqs failed at ${method}: ${answer.rawPayload.toString()}`,
      });
    return {
      status: answer.statusCode,
      headers: Object.fromEntries(
        Object.entries(answer.headers).flatMap(([name, value]) =>
          value === undefined || CONNECTION.has(name) ? [] : [[name, String(value)]],
        ),
      ),
      body: answer.rawPayload,
    };
  }
}
