// What `npm run restore` takes, and what it refuses before it looks at anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedIn } from '../../bin/restore/ask.ts';
import { DAY_MS } from '../../protocol/backups.ts';
import { DAY } from '../lambdas/exports.ts';

test('what makes no sense is refused, and says how it is used', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--reason', 'x', '--yes'], /expected --record, --tenant, --at or --all/],
    [['--all'], /--reason says why, got none/],
    [['--give-up'], /--reason says why, got none/],
    [['--record', 'acme/n1', '--reason', 'x'], /--record is TENANT\/COLLECTION\/ID, got "acme\/n1"/],
    [['--record', 'acme/notes/n1', '--tenant', 'acme', '--reason', 'x'], /records or a tenant .*, got both/],
    [['--tenant', 'A B', '--reason', 'x'], /--tenant is a tenant, got "A B"/],
    [['--at', 'yesterday', '--reason', 'x'], /--at is a time in UTC such as .*, got "yesterday"/],
    [['--at', '2999-01-01T00:00Z', '--reason', 'x'], /--at is a time that has been/],
    [['--all', '--at', '2025-01-01T00:00Z', '--reason', 'x'], /expected one of them, got both/],
    [['--resume', '--all'], /--resume and --give-up take what the restore was begun with/],
    [['--resume', '--give-up', '--reason', 'x'], /expected one of --resume and --give-up, got both/],
    [['--all', '--into-region', 'us-east-2', '--reason', 'x'], /--into-region says where --into is/],
    [['--all', '--backup', 'daily/today/', '--reason', 'x'], /--backup is a prefix such as/],
    [['--all', '--here', '--reason', 'x'], /--here goes with --resume/],
    [['--resume', '--workers'], /--resume and --give-up take what the restore was begun with/],
    [['--all', '--workers', '--dry-run'], /--workers load everything or a tenant .* none of --record/],
    [['--record', 'acme/notes/n1', '--workers', '--reason', 'x'], /--workers load everything or a tenant/],
    [['--all', '--lanes', '99', '--reason', 'x'], /--lanes is a whole number from 1 to 50/],
  ];
  for (const [args, says] of cases)
    assert.throws(
      () => askedIn(args, DAY + DAY_MS),
      (error) => error instanceof RangeError && says.test(error.message),
      args.join(' '),
    );
  assert.equal(askedIn(['--help'], DAY), 'help');
  const asked = askedIn(['--record', 'acme/notes/n1', '--at', '2025-01-01T00:00Z', '--dry-run'], DAY);
  assert.deepEqual(asked === 'help' ? undefined : asked.ask, {
    scope: { kind: 'records', records: [{ tenant: 'acme', collection: 'notes', id: 'n1' }] },
    atMs: Date.UTC(2025, 0, 1),
    overwrite: false,
  });
});
