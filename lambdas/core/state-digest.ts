// The state of a whole table as one number (protocol/digest-sums.ts), of the records of a backup as they are in it.
import { hash } from 'node:crypto';
import { DigestSum, stateText } from '../../protocol/digest-sums.ts';
import type { ExportedRecord } from '../../protocol/exported-records.ts';

export class StateDigest extends DigestSum {
  add(record: ExportedRecord): void {
    this.addHash(hash('sha256', stateText(record), 'binary'));
  }

  remove(record: ExportedRecord): void {
    this.removeHash(hash('sha256', stateText(record), 'binary'));
  }
}
