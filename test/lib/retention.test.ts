// What the backup buckets keep, read from the templates: that a tier which is removed or shortened ends the synth, in
// whatever way it came to be so.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Aspects, type IAspect } from 'aws-cdk-lib';
import { CfnBucket } from 'aws-cdk-lib/aws-s3';
import { RETENTION_DAYS } from '../../config/promises.ts';
import {
  ARCHIVED_AFTER_DAYS,
  type BucketProperties,
  JOURNAL_DAYS,
  KEPT,
  LOCK_DAYS,
  retentionFaults,
} from '../../config/retention.ts';
import { buildApp } from '../../lib/app.ts';
import { synthesizeKept } from '../../lib/retention.ts';
import { VERIFIED_WITHIN_MS } from '../../protocol/backup-verdicts.ts';
import { BACKUP_TIERS, DAY_MS } from '../../protocol/backups.ts';
import { JOURNAL_PARKED_PREFIX, JOURNAL_PREFIX } from '../../protocol/journal.ts';
import { RESTORING_PREFIX } from '../../protocol/restore-work.ts';
import { DEV, GOV, ofType, only, PROD, type Resource, stackNamed, synthesize } from './assembly.ts';

const dev = synthesize(DEV);
const quorum = stackNamed(dev, 'eden-field-dev-foundation-quorum');
const named = (use: string) => (it: Resource) =>
  JSON.stringify(it.Properties.BucketName).includes(`-${use}-`);
const backup: BucketProperties = only(quorum, 'AWS::S3::Bucket', named('backup')).Properties;
const offsite: BucketProperties = only(quorum, 'AWS::S3::Bucket', named('offsite')).Properties;

test('the tiers and their days are those of the specification', () => {
  assert.deepEqual(RETENTION_DAYS, { hourly: 7, daily: 30, weekly: 365, offsite: 2_555 });
  assert.equal(JOURNAL_DAYS, 35);
  const prefixes = [...KEPT.backup, ...KEPT.offsite].map(({ prefix }) => prefix);
  assert.deepEqual(
    prefixes.toSorted(),
    [
      ...BACKUP_TIERS.map((tier) => `${tier}/`),
      ...[JOURNAL_PREFIX, JOURNAL_PARKED_PREFIX, RESTORING_PREFIX],
    ].toSorted(),
  );
  for (const { prefix, days } of [...KEPT.backup, ...KEPT.offsite]) {
    const tier = BACKUP_TIERS.find((it) => `${it}/` === prefix);
    const others = prefix === RESTORING_PREFIX ? LOCK_DAYS : JOURNAL_DAYS;
    assert.equal(days, tier ? RETENTION_DAYS[tier] : others, prefix);
  }
});

test('every stage keeps it, in every Region; the offsite copy is verified before it is archived', () => {
  for (const config of [DEV, PROD, GOV]) assert.doesNotThrow(() => synthesize(config), config.stage);
  assert.ok(VERIFIED_WITHIN_MS.offsite < (ARCHIVED_AFTER_DAYS - 1) * DAY_MS);
  assert.equal(ofType(quorum, 'AWS::S3::Bucket').length, 3);
});

/** What somebody might do to a bucket of the dev stage, and the lines of the error. */
interface Mishap {
  readonly what: string;
  readonly on?: 'offsite';
  readonly change: (properties: Record<string, unknown>, rules: Record<string, unknown>[]) => void;
  readonly fault: RegExp;
}

const ruleNamed = (rules: Record<string, unknown>[], id: string): Record<string, unknown> =>
  rules.find((rule) => rule['Id'] === id) ?? assert.fail(`no rule ${id}`);

const without = (rules: Record<string, unknown>[], id: string) =>
  rules.splice(rules.indexOf(ruleNamed(rules, id)), 1);

const MISHAPS: readonly Mishap[] = [
  ...['hourly', 'daily', 'weekly', 'journal', 'journal-parked', 'restoring'].flatMap(
    (id): readonly Mishap[] => [
      {
        what: `${id} is removed`,
        change: (_, rules) => without(rules, id),
        fault: new RegExp(`^${id}/: expected to be kept \\d+ days, got no end$`),
      },
      {
        what: `${id} is switched off`,
        change: (_, rules) => {
          ruleNamed(rules, id)['Status'] = 'Disabled';
        },
        fault: new RegExp(`^${id}/: expected to be kept \\d+ days, got no end$`),
      },
      {
        what: `${id} is shortened`,
        change: (_, rules) => {
          const rule = ruleNamed(rules, id);
          rule['ExpirationInDays'] = Number(rule['ExpirationInDays']) - 1;
        },
        fault: new RegExp(`^${id}/: expected to be kept (\\d+) days, got \\d+$`),
      },
      {
        what: `old versions of ${id} are never freed`,
        change: (_, rules) => {
          delete ruleNamed(rules, id)['NoncurrentVersionExpiration'];
        },
        fault: new RegExp(`^${id}/: expected old versions to go after 1 day, got no end$`),
      },
    ],
  ),
  {
    what: 'one tier is kept for ever',
    change: (_, rules) => {
      delete ruleNamed(rules, 'weekly')['ExpirationInDays'];
    },
    fault: /^weekly\/: expected to be kept 365 days, got no end$/,
  },
  {
    what: 'a second rule ends a tier earlier',
    change: (_, rules) => {
      rules.push({ Id: 'costs', Status: 'Enabled', Prefix: 'weekly/2026', ExpirationInDays: 90 });
    },
    fault: /^weekly\/: expected to be kept 365 days, got 90$/,
  },
  {
    what: 'a rule without a prefix ends everything',
    change: (_, rules) => {
      rules.push({ Id: 'tidy', Status: 'Enabled', ExpirationInDays: 5 });
    },
    fault: /^daily\/: expected to be kept 30 days, got 5$/,
  },
  {
    what: 'a rule ends something nobody named',
    change: (_, rules) => {
      rules.push({ Id: 'more', Status: 'Enabled', Prefix: 'monthly/', ExpirationInDays: 5 });
    },
    fault: /^expected rules for hourly\/, .* alone, got one for "monthly\/"$/,
  },
  {
    what: 'a rule depends on a tag',
    change: (_, rules) => {
      ruleNamed(rules, 'daily')['TagFilters'] = [{ Key: 'keep', Value: 'no' }];
    },
    fault: /^rule daily: expected none of TagFilters, got one$/,
  },
  {
    what: 'a rule keeps a number of old versions',
    change: (_, rules) => {
      ruleNamed(rules, 'daily')['NoncurrentVersionExpiration'] = {
        NoncurrentDays: 1,
        NewerNoncurrentVersions: 3,
      };
    },
    fault: /^rule daily: expected none of NewerNoncurrentVersions, got one$/,
  },
  {
    what: 'old versions go later',
    change: (_, rules) => {
      ruleNamed(rules, 'daily')['NoncurrentVersionExpiration'] = { NoncurrentDays: 30 };
    },
    fault: /^daily\/: expected old versions to go after 1 day, got 30$/,
  },
  {
    what: 'delete markers stay',
    change: (_, rules) => without(rules, 'expired-delete-markers'),
    fault: /^expected a rule for the whole bucket that removes expired delete markers, got none$/,
  },
  {
    what: 'unfinished uploads stay',
    change: (_, rules) => without(rules, 'abort-unfinished-uploads'),
    fault: /^expected a rule for the whole bucket that ends unfinished uploads after a day, got none$/,
  },
  {
    what: 'a tier that is needed within the hour is archived',
    change: (_, rules) => {
      ruleNamed(rules, 'weekly')['Transitions'] = [{ StorageClass: 'GLACIER', TransitionInDays: 300 }];
    },
    fault: /^weekly\/: expected at least 90 days in GLACIER, which are billed, got 65$/,
  },
  {
    what: 'a tier moves before it may',
    change: (_, rules) => {
      ruleNamed(rules, 'weekly')['Transitions'] = [{ StorageClass: 'STANDARD_IA', TransitionInDays: 10 }];
    },
    fault: /^weekly\/: expected at least 30 days before STANDARD_IA, got 10$/,
  },
  {
    what: 'the offsite copy is not archived',
    on: 'offsite',
    change: (_, rules) => {
      delete ruleNamed(rules, 'offsite')['Transitions'];
    },
    fault: /^offsite\/: expected to move to other storage classes \[\["DEEP_ARCHIVE",7\]\], got \[\]$/,
  },
  {
    what: 'the offsite copy is shortened to less than Deep Archive bills',
    on: 'offsite',
    change: (_, rules) => {
      ruleNamed(rules, 'offsite')['ExpirationInDays'] = 100;
    },
    fault: /^offsite\/: expected to be kept 2555 days, got 100$/,
  },
  {
    what: 'the lock is longer than the shortest tier',
    change: (properties) => {
      Object.assign(properties, {
        ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 8 } } },
      });
    },
    fault: /^expected new objects to be locked for at most the 7 days of the shortest tier, got 8$/,
  },
  {
    what: 'there is no lock',
    change: (properties) => {
      delete properties['ObjectLockConfiguration'];
    },
    fault: /^expected new objects to be locked, got no lock$/,
  },
  {
    what: 'old versions are not kept',
    change: (properties) => {
      Object.assign(properties, { VersioningConfiguration: { Status: 'Suspended' } });
    },
    fault: /^expected versions to be kept, got Suspended$/,
  },
  {
    what: 'there are no rules at all',
    change: (properties) => {
      delete properties['LifecycleConfiguration'];
    },
    fault: /^hourly\/: expected to be kept 7 days, got no end$/,
  },
];

for (const { what, on, change, fault } of MISHAPS)
  test(`${on ?? 'backup'} bucket: a fault when ${what}`, () => {
    const properties = structuredClone(on ? offsite : backup) as Record<string, unknown>;
    const { Rules: rules } = properties['LifecycleConfiguration'] as {
      Rules: Record<string, unknown>[];
    };
    const kept = KEPT[on ?? 'backup'];
    assert.deepEqual(retentionFaults(properties, kept), []);
    change(properties, rules);
    const faults = retentionFaults(properties, kept);
    assert.ok(
      faults.some((it) => fault.test(it)),
      faults.join('\n'),
    );
  });

/** Overrides a bucket behind the construct's back, as a patch or an aspect of somebody else's would. */
class Override implements IAspect {
  readonly #use: string;
  readonly #path: string;
  readonly #value: unknown;

  constructor(use: string, path: string, value: unknown) {
    this.#use = use;
    this.#path = path;
    this.#value = value;
  }

  visit(node: unknown): void {
    if (node instanceof CfnBucket && node.node.path.includes(`/${this.#use}/`))
      node.addPropertyOverride(this.#path, this.#value);
  }
}

test('an override that shortens a tier in the finished template ends the synth, and is named', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-retention-'));
  try {
    const { app } = buildApp(DEV, { validate: false, bundle: false, outdir });
    Aspects.of(app).add(new Override('Offsite', 'LifecycleConfiguration.Rules.1.ExpirationInDays', 365));
    assert.throws(() => synthesizeKept(app, DEV), {
      name: 'RetentionError',
      message:
        /^stage dev: backups would not be kept as promised\n {2}- eden-field-dev-foundation-quorum, offsite bucket: offsite\/: expected to be kept 2555 days, got 365\n {2}What is kept/,
    });
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
});

test('what another account keeps is looked at like the stage’s own', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-retention-'));
  try {
    const { app } = buildApp(GOV, { validate: false, bundle: false, outdir });
    Aspects.of(app).add(new Override('Offsite', 'LifecycleConfiguration.Rules.1.ExpirationInDays', 365));
    assert.throws(() => synthesizeKept(app, GOV), {
      message:
        /eden-field-gov-offsite-copy, offsite bucket: offsite\/: expected to be kept 2555 days, got 365\n/,
    });
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
});

test('a bucket that is gone, or goes by another name, ends the synth', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'eden-field-retention-'));
  try {
    const { app } = buildApp(DEV, { validate: false, bundle: false, outdir });
    Aspects.of(app).add(new Override('Backup', 'BucketName', 'backups'));
    assert.throws(() => synthesizeKept(app, DEV), {
      message: /eden-field-dev-foundation-standby: expected a bucket for backup, got none/,
    });
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
});
