// Every promise that a stage does not keep, and why: nobody should find out in an outage. Printed whenever the stage is
// synthesized; the list of the GovCloud profile also stands in docs/GOVCLOUD.md, and a test holds the two together.
import type { Config } from './config.ts';
import { RECOVERY_MS_MAX } from './promises.ts';
import { dnsByObserversMs } from './recovery.ts';

/** Sentences, without a full stop at the end of `promise`. */
export interface UnkeptPromise {
  /** In the specification's words, as far as they go. */
  readonly promise: string;
  readonly because: string;
  /** What there is in its place. */
  readonly instead: string;
}

const CLIENTS_FAIL_OVER = 'Clients of the library hold both endpoints and fail over by themselves.';

/** Of stages with two replicas that follow each other. */
const WITHOUT_QUORUM: readonly UnkeptPromise[] = [
  {
    promise: '3-way replication: an acknowledged write stands in two Regions',
    because:
      'These Regions have no multi-Region strong consistency. One Region alone acknowledges a write, and the other gets it afterwards, usually within a second; nothing bounds that.',
    instead:
      'Two replicas, each with point-in-time recovery. What a Region that is lost for good had not sent on is lost with it: the recovery point is the replication lag.',
  },
  {
    promise: 'Quorum consensus: two of three replicas decide',
    because: 'There is no third Region, so nothing has a majority: both sides of a partition accept writes.',
    instead: 'Each Region judges conditions on its own copy. Histories of a record are not linearizable.',
  },
  {
    promise: 'Conflict resolution by a 2-of-3 vote',
    because: 'There are no three copies to ask.',
    instead:
      'The higher version wins by the copy of the Region that meets the conflict; its audit entry says `quorum: none` and holds what lost, as always.',
  },
  {
    promise: 'The state of a record never goes to a lower version',
    because: 'Replication lets the last writer win by its own clock, whatever the versions say.',
    instead:
      'A reconciler in each Region puts the higher version back, with an audit entry that holds what lost; until then a reader may see the lower one.',
  },
  {
    promise: 'An operation takes effect at most once',
    because:
      'What one Region has settled the other does not know yet, so an operation that is sent to both is judged by both.',
    instead:
      'It carries the same version in both, so the state is the same; it may leave a second audit entry.',
  },
  {
    promise: 'One audit chain a record, without a fork',
    because: 'Both sides of a partition append to the chain they have.',
    instead:
      'Every entry is archived in the Region that wrote it; the entry that brings the sides together names the head of the branch that was left.',
  },
  {
    promise: 'One holder of a routing epoch: jobs that must run once run once',
    because: 'Both sides of a partition can accept one epoch.',
    instead: 'Such jobs are made so that running on both sides does no harm.',
  },
  {
    promise: 'Heartbeat every 15 s, 3 failures: the service moves by itself',
    because: 'One observer that cannot see the other Region cannot tell which of the two is cut off.',
    instead: `Observers beat and measure how far behind the other Region is; an operator moves with \`evacuate\`. ${CLIENTS_FAIL_OVER}`,
  },
  {
    promise: 'Failover by DNS for clients that know one name',
    because: 'DNS would move without a decision, and back again, while both sides accept writes.',
    instead: `No failover name and no health checks. ${CLIENTS_FAIL_OVER}`,
  },
  {
    promise: 'Recovery from a data centre outage in under 5 minutes, from a network partition in under 2',
    because: 'For a client that knows one endpoint both depend on DNS and on the observers.',
    instead: `${CLIENTS_FAIL_OVER} For them both hold; for others it is as long as a person takes.`,
  },
  {
    promise: 'The third copy of a backup stands in a third Region',
    because: 'There is none in the partition.',
    instead:
      "It stands in another account (`thirdCopyAccount`), in the standby's Region: nobody in the stage's account can delete it, but with that Region lost the primary's copy alone is left.",
  },
  {
    promise: 'Three copies of every hourly, daily and weekly backup',
    because:
      'Two Regions hold two, and what the other account gets is the offsite copy, made at the beginning of each month.',
    instead:
      'That one counts as the third of each: `backup_replicas_failed` is one higher while it is missing or cannot be reached. Journals have two copies.',
  },
];

/** Of stages that could decide, but have no names that DNS or an observer could go by. */
const WITHOUT_DOMAIN: readonly UnkeptPromise[] = [
  {
    promise: 'Failover by DNS for clients that know one name',
    because: 'The stage has no domain.',
    instead: CLIENTS_FAIL_OVER,
  },
  {
    promise: 'Heartbeat every 15 s, 3 failures: the service moves by itself',
    because:
      'Observers probe the regional names, which only a domain gives; without it they beat, but never vote.',
    instead: `An operator moves with \`evacuate\`. ${CLIENTS_FAIL_OVER}`,
  },
  {
    promise: 'Recovery from a data centre outage in under 5 minutes, from a network partition in under 2',
    because: 'For a client that knows one endpoint both depend on DNS and on the observers.',
    instead: `${CLIENTS_FAIL_OVER} For them both hold; for others it is as long as a person takes.`,
  },
];

export function promisesNotKept(config: Config): readonly UnkeptPromise[] {
  if (config.consistency === 'eventual') return WITHOUT_QUORUM;
  return config.domain ? followingDns(config) : WITHOUT_DOMAIN;
}

/** A partition leaves the primary's `/health` as it was, so that DNS has to wait for the observers, and for an alarm. */
function followingDns(config: Config): readonly UnkeptPromise[] {
  const worstMs = dnsByObserversMs(config);
  if (worstMs < RECOVERY_MS_MAX.networkPartition) return [];
  return [
    {
      promise: 'Recovery from a network partition in under 2 minutes, for clients that know one name',
      because: `DNS follows the observers' move through an alarm, and no health check follows one of a shorter period than a minute: up to ${worstMs / 1_000} s.`,
      instead: `Under 5 minutes, like a data centre outage. ${CLIENTS_FAIL_OVER}`,
    },
  ];
}

/** For people at a terminal; undefined when every promise is kept. Ends in a line break. */
export function promisesNotKeptText(config: Config): string | undefined {
  const unkept = promisesNotKept(config);
  if (unkept.length === 0) return undefined;
  const lines = unkept.map(
    ({ promise, because, instead }) => `  - ${promise}\n      ${because}\n      Instead: ${instead}\n`,
  );
  return `stage ${config.stage} does not keep ${unkept.length} ${unkept.length === 1 ? 'promise' : 'promises'}:\n${lines.join('')}`;
}
