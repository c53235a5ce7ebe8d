// An operation is one edit of one record by one client (PROTOCOL 1.2): what it edits, on top of which version, and
// the session and sequence that make its effect happen once however often it is sent.
import type { Version } from './versions.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

interface OperationBase {
  readonly session: string;
  /** 1, 2, 3 … within the session; kept for life, whatever is re-stamped. */
  readonly sequence: number;
  readonly collection: string;
  readonly id: string;
  readonly version: Version;
  /** The version this edit was made on; absent when the client knew of no record. */
  readonly base?: Version;
  /** Queued again because the restore epoch rose (PROTOCOL 8.2). */
  readonly replayed?: true;
}

export interface PutOperation extends OperationBase {
  readonly kind: 'put';
  readonly payload: Json;
}

export interface DeleteOperation extends OperationBase {
  readonly kind: 'delete';
}

export type Operation = PutOperation | DeleteOperation;
