// What a drill of these comes to: its lines judged, its drawings, and what a program reads beside them.
import { type CheckedHistory, countOf, type Finding } from '../checker.ts';
import { judged, type Line } from '../lines.ts';
import type { Outcome } from '../scenario.ts';
import type { SyncHistory } from '../sync/history.ts';
import { backupSection } from './chart.ts';
import type { BackupScene, RestoreRun } from './scene.ts';

const FINDINGS_SHOWN = 20;

export function backupOutcome(
  { drill, work, proven }: Pick<BackupScene, 'drill' | 'work' | 'proven'>,
  parts: {
    readonly column: string;
    readonly heading: string;
    readonly lines: readonly Line[];
    readonly checked: CheckedHistory;
    readonly history: Pick<SyncHistory, 'made' | 'sent'>;
    readonly groups: readonly { readonly text: string; readonly devices: readonly string[] }[];
    readonly endedAt: number;
    readonly restores: readonly RestoreRun[];
    readonly facts: Readonly<Record<string, unknown>>;
  },
): Outcome {
  const { column, heading, checked, history, groups, endedAt, restores, facts } = parts;
  const { rows, targets } = judged(parts.lines);
  const { findings, counts } = checked;
  const regions = drill.system.regions.map(({ region }) => region);
  const notes = [
    ...restores.flatMap(({ steps }) =>
      steps.filter(({ step }) => step !== 'progress').map(({ says }) => says),
    ),
    ...findings.slice(0, FINDINGS_SHOWN).map(inWords),
  ];
  return {
    passed: targets.every(({ passed }) => passed),
    startedAt: drill.startedAt,
    targets,
    columns: [column],
    rows,
    sections: [
      backupSection(
        heading,
        { history, regions, groups, marks: drill.marks, startedAt: drill.startedAt, endedAt },
        work.bare.calls,
        notes,
      ),
    ],
    facts: {
      acknowledgedWritesLost: countOf(findings, 'lost'),
      duplicated: countOf(findings, 'duplicated'),
      records: proven.planting.records,
      plantedMs: proven.took.plantedMs,
      verifiedMs: proven.took.verifiedMs,
      loadedInto: proven.loaded,
      ...facts,
      restores: restores.map(({ exitCode, ending, why, startedAt, endedAt: at, counts: done }) => ({
        ...{ exitCode, ending, why, ms: at - startedAt, counts: done },
      })),
      counts,
      findings: findings.slice(0, FINDINGS_SHOWN * 5),
    },
  };
}

function inWords({ rule, key, what }: Finding): string {
  return `${rule}, ${key}: ${what}`;
}
