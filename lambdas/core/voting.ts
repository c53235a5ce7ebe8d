// Two of three decide a conflict (PROTOCOL 4.1): each replica's copy says whether the edit's version is above its own.
// A copy that is not the one the vote is about, or not whole, has no say; without two equal votes nothing is written.
import type { RegionVote, Vote } from '../../protocol/audit.ts';
import { compareVersions } from '../../protocol/versions.ts';
import { isWhole } from './canonical.ts';
import type { Copy, Edit, StoredRecord } from './record.ts';

const MAJORITY = 2;

export type Poll = {
  /** One a copy, in the order of the copies. */
  readonly votes: readonly RegionVote[];
} & (
  | {
      readonly outcome: 'incoming' | 'stored';
      /** A copy that voted with the majority: what loses, or stays, is taken from it. */
      readonly voter: StoredRecord;
    }
  | {
      readonly outcome: 'undecided';
      /** Enough copies answered whole for a majority; some were just not of the voted commit version. */
      readonly moved: boolean;
    }
);

/** `stored` is `ALL_OLD`: its commit version is what the vote is about. */
export function poll(
  edit: Pick<Edit, 'version'>,
  { commitVersion }: Pick<StoredRecord, 'commitVersion'>,
  copies: readonly Copy[],
): Poll {
  const ballots = copies.map((copy) => ({ copy, vote: voteOf(edit, commitVersion, copy) }));
  const votes = ballots.map(({ copy: { region }, vote }) => ({ region, vote }));
  for (const outcome of ['incoming', 'stored'] as const) {
    const voters = ballots.flatMap(({ copy, vote }) =>
      vote === outcome && copy.answered && copy.record ? [copy.record] : [],
    );
    const [voter] = voters;
    if (voter && voters.length >= MAJORITY) return { votes, outcome, voter };
  }
  const whole = votes.filter(({ vote }) => vote !== 'absent' && vote !== 'corrupt');
  return {
    votes,
    outcome: 'undecided',
    moved: whole.length >= MAJORITY && whole.some(({ vote }) => vote === 'void'),
  };
}

/** Where there are two replicas nobody has a majority: the copy that the edit met decides, if it is whole. */
export function judgeAlone({ version }: Pick<Edit, 'version'>, stored: StoredRecord, region: string): Poll {
  if (!isWhole(stored.content))
    return { votes: [{ region, vote: 'corrupt' }], outcome: 'undecided', moved: false };
  const outcome = compareVersions(version, stored.version) > 0 ? 'incoming' : 'stored';
  return { votes: [], outcome, voter: stored };
}

function voteOf(
  { version }: Pick<Edit, 'version'>,
  commitVersion: StoredRecord['commitVersion'],
  copy: Copy,
): Vote {
  if (!copy.answered) return 'absent';
  if (!copy.record) return 'void';
  if (!isWhole(copy.record.content)) return 'corrupt';
  if (copy.record.commitVersion !== commitVersion) return 'void';
  return compareVersions(version, copy.record.version) > 0 ? 'incoming' : 'stored';
}
