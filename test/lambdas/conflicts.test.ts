// Conflicts on three replicas, from the push through the vote to what a record's history tells of them: votes.ts, what
// fails on the way: votes-faults.ts, the history: conflict-history.ts.
import { describe } from 'node:test';
import { conflictHistoryCases } from './conflict-history.ts';
import { Conflicts } from './conflicts-subject.ts';
import { openFunctions } from './functions.ts';
import { voteCases } from './votes.ts';
import { voteFaultCases } from './votes-faults.ts';

const conflicts = new Conflicts(await openFunctions());

describe('votes', () => voteCases(conflicts));
describe('votes while something fails', () => voteFaultCases(conflicts));
describe('the history of a record', () => conflictHistoryCases(conflicts));
