// A drill's clients, in a process of their own so that no measurement shares a thread with what it measures: the
// client library under open-loop load, and beside it a client that knows only the failover name. Forked by the drill's
// runner with LoadOptions as JSON in the first argument; ends when the runner does.
import { DnsLoad } from './drills/failover/dns-load.ts';
import { HistoryWriter, type OperationEntry } from './drills/failover/history.ts';
import { LibraryLoad } from './drills/failover/library-load.ts';
import {
  type FromLoad,
  type LoadOptions,
  PROGRESS_EVERY_MS,
  type ToLoad,
} from './drills/failover/load-messages.ts';
import { readBack } from './drills/failover/read-back.ts';
import { percentile } from './measuring.ts';

function say(message: FromLoad): void {
  // The runner may just have gone; then this process is about to end too.
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}

/** Counts what happens between two reports. */
class Reports {
  #succeeded: Record<string, number> = {};
  #failed = 0;
  #latencies: number[] = [];
  #dnsServedBy: string | undefined;

  add({ client, ok, region, scheduledAt, endedAt }: OperationEntry): void {
    if (client === 'library') this.#latencies.push(endedAt - scheduledAt);
    if (client === 'dns') {
      if (ok && region !== undefined) this.#dnsServedBy = region;
    } else if (ok && region !== undefined) this.#succeeded[region] = (this.#succeeded[region] ?? 0) + 1;
    else this.#failed += 1;
  }

  send(): void {
    const dnsServedBy = this.#dnsServedBy;
    say({
      type: 'progress',
      succeeded: this.#succeeded,
      failed: this.#failed,
      latencyMsP95: this.#latencies.length === 0 ? 0 : percentile(this.#latencies, 0.95),
      ...(dnsServedBy === undefined ? {} : { dnsServedBy }),
    });
    this.#latencies = [];
    this.#succeeded = {};
    this.#failed = 0;
    this.#dnsServedBy = undefined;
  }
}

function run(options: LoadOptions): void {
  const history = new HistoryWriter(options.historyFile);
  const reports = new Reports();
  const onEntry = (entry: OperationEntry) => {
    history.add(entry);
    reports.add(entry);
  };
  const library = new LibraryLoad(options, onEntry);
  const stops = [library.start()];
  const { dns } = options;
  if (dns) {
    // It reads what the other client wrote first, which is there all the time.
    const anyKey = () => library.acknowledged.keys().next().value;
    stops.push(new DnsLoad({ ...options, dns }, anyKey, onEntry).start());
  }
  const reporting = setInterval(() => reports.send(), PROGRESS_EVERY_MS);

  const obey = async ({ type }: ToLoad): Promise<void> => {
    if (type === 'stop') {
      await Promise.all(stops.map((stop) => stop()));
      clearInterval(reporting);
      await history.close();
      say({ type: 'stopped' });
    } else {
      const { missing, reads } = await readBack(library.acknowledged, options.endpoints, options.token);
      say({ type: 'readBackDone', missing, reads });
    }
  };
  process.on('message', (message: ToLoad) => {
    obey(message).catch((error: unknown) =>
      say({ type: 'failed', why: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  say({ type: 'ready' });
}

// Ctrl-C reaches every process of the terminal; when the load ends is the runner's decision.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit());
run(JSON.parse(process.argv[2] ?? '{}') as LoadOptions);
