// What the rehearsal's processes say to one another over Node's IPC channel. The supervisor forks one AWS process
// and one process per region; each gets its options as JSON in its first argument, says `ready` once it listens, and
// ends by itself when the channel closes, so that nothing outlives the supervisor, not even its SIGKILL.
import type { RecordKey } from '../../protocol/names.ts';
import type { Planting } from '../planting.ts';
import type { OrderOutcome } from './orders.ts';

/** First argument of `rehearsal/aws/aws.ts`, as JSON. */
export interface AwsProcessOptions {
  /** Directory of the cloud assembly. */
  readonly assemblyDir: string;
  readonly account: string;
  /** Where to listen on 127.0.0.1; 0 takes a free port, which `ready` then names. */
  readonly port: number;
  /** The state of the network at start; what is not listed has no delay and is not cut. */
  readonly links: readonly LinkState[];
  /** How fast buckets' lifecycles, locks and point-in-time recovery age. @default 1, as the machine's clock */
  readonly clockScale?: number;
  /** How exports take their time (rehearsal/aws/dynamodb/exports.ts). @default as DynamoDB, but quickly done */
  readonly exportTimes?: {
    readonly latestLagMs?: number;
    readonly durationMs?: number;
    readonly spanMsMin?: number;
    readonly spanMsMax?: number;
  };
}

/** First argument of `rehearsal/region/region.ts`, as JSON. */
export interface RegionProcessOptions {
  readonly assemblyDir: string;
  readonly account: string;
  readonly region: string;
  /** `http://127.0.0.1:<port>` of the AWS process. */
  readonly awsEndpoint: string;
  readonly substitutions: RegionSubstitutions;
  /** Of a region that ran before: how far its event source mappings had come. Absent the first time. */
  readonly checkpoints?: Checkpoints;
}

/** The last sequence number that is done with, by event source mapping id. */
export type Checkpoints = Readonly<Record<string, string>>;

/** Values put in the place of the template's own; nothing else is (rehearsal/assembly/substitutions.ts). */
export interface RegionSubstitutions {
  /** JSON JWK Set holding the rehearsal's own public key. */
  readonly jwtKeySet: string;
  /** Where this region's observer reaches each serving region, by region: `http://127.0.0.1:<port>` of a link. */
  readonly probes: Readonly<Record<string, string>>;
}

/** The way between two regions, or from outside to one, the same in both directions. */
export interface LinkState {
  readonly between: readonly [string, string];
  /** Nothing passes; a request hangs until its caller gives up. */
  readonly cut: boolean;
  /** One way, half of the round trip. */
  readonly delayMs: number;
}

export type ToAwsProcess =
  /** Replaces the state of the links listed; the others stay. */
  | { readonly type: 'links'; readonly links: readonly LinkState[] }
  /** A region's replica of the data, with everything it serves, goes or comes back. */
  | { readonly type: 'replica'; readonly region: string; readonly up: boolean }
  /** Something to be done to what is stored, and answered with `done`. */
  | { readonly type: 'order'; readonly id: number; readonly order: StorageOrder };

/** Each is answered with the names of what it was done to. */
export type StorageOrder =
  /** Sets the clock of lifecycles, locks and point-in-time recovery ahead. */
  | { readonly what: 'advance'; readonly ms: number }
  /** One bucket answers nothing but 503, or works again. */
  | { readonly what: 'bucket'; readonly bucket: string; readonly available: boolean }
  /** One byte of an object's current version is another one from now on, behind S3's back: of the newest data file of an
   * export where no key is given, the one in the middle where no place is. */
  | { readonly what: 'rot'; readonly bucket: string; readonly key?: string; readonly at?: number }
  /** Payloads of records are changed in every region, under the hash they had: so many records, or those. */
  | { readonly what: 'damage'; readonly table: string; readonly records: number | readonly RecordKey[] }
  /** A table loses every item in every region, behind its back. */
  | { readonly what: 'wipe'; readonly table: string }
  /** Records are written, as if a region's service had. */
  | { readonly what: 'plant'; readonly table: string; readonly region: string; readonly planting: Planting };

export type ToRegionProcess =
  /** Whether work fails while health answers (rehearsal/region/gray.ts). */
  | {
      readonly type: 'gray';
      readonly gray: boolean;
      /** @default 'health' */
      readonly spared?: 'health' | 'health and ready';
    }
  /** Calls now what a schedule calls, as if it were due at that time, and says with `ran` how that ended. */
  | { readonly type: 'run'; readonly id: number; readonly schedule: string; readonly atMs: number };

export type FromAwsProcess =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'done'; readonly id: number; readonly outcome: OrderOutcome<readonly string[]> }
  | { readonly type: 'log'; readonly line: string };

export type FromRegionProcess =
  /** Every REST API of the region and the port its front listens on; empty where the region serves nobody. */
  | {
      readonly type: 'ready';
      readonly endpoints: readonly { readonly apiPhysicalId: string; readonly port: number }[];
    }
  | TrafficMessage
  | { readonly type: 'ran'; readonly id: number; readonly outcome: OrderOutcome<null> }
  | { readonly type: 'metrics'; readonly points: readonly MetricPoint[] }
  /** An event source mapping is done with everything up to there; AWS keeps this outside of the region's functions. */
  | { readonly type: 'checkpoint'; readonly mappingId: string; readonly sequenceNumber: string }
  | { readonly type: 'log'; readonly line: string };

/** Sent every second: what the region's fronts answered in that second. */
export interface TrafficMessage {
  readonly type: 'traffic';
  /** Unix ms at the end of that second. */
  readonly at: number;
  /** Answers with a status below 500. */
  readonly served: number;
  /** Answers with a status of 500 or more. */
  readonly errors: number;
  /** The same by the API's resource path, e.g. `/v1/records/{collection}/{id}`; idle resources are left out. */
  readonly byResource: Readonly<Record<string, { readonly served: number; readonly errors: number }>>;
}

/** One sample of a metric, as a function's EMF line gave it. */
export interface MetricPoint {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
  /** Unix ms. */
  readonly timestampMs: number;
  /** One value, or several of the same moment. */
  readonly values: readonly number[];
  readonly unit?: string;
}
