// The report of a drill: one HTML file that needs nothing else, readable on a light and on a dark screen.
import type { ScenarioResult, Section, TargetResult } from './scenario.ts';
import { escapeXml } from './svg.ts';

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6678; --line: #d9dee7; --paper: #ffffff; --card: #f6f8fb;
  --region-0: #2f6fde; --region-1: #d98a00; --failed: #d3263f; --good: #16803c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf2; --soft: #9aa6ba; --line: #2d3644; --paper: #11161f;
  --card: #181f2b; --region-0: #6ea2ff; --region-1: #f2b245; --failed: #ff6b7f; --good: #4cc777; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 1000px; padding: 24px 16px; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 32px 0 8px; } p { max-width: 75ch; }
.soft, figcaption { color: var(--soft); font-size: 13px; }
.verdict { font-weight: 600; } .ok { color: var(--good); } .bad { color: var(--failed); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; } th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 600; } .scroll { overflow-x: auto; }
figure { margin: 16px 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
svg { width: 100%; height: auto; display: block; } svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.region-0 { fill: var(--region-0); } .region-1 { fill: var(--region-1); } .failed { fill: var(--failed); }
.grid { stroke: var(--line); } line.fault { stroke: var(--failed); stroke-width: 1.5; } line.good { stroke: var(--good); stroke-width: 1.5; }
line.plain { stroke: var(--soft); stroke-dasharray: 4 3; } line.gap { stroke: var(--soft); stroke-width: 2; }
svg text.mark { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
svg text.fault { fill: var(--failed); } svg text.good { fill: var(--good); } svg text.note { fill: var(--soft); }
.label { white-space: nowrap; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 5px 0 14px; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line-0 { stroke: var(--region-0); } .line-1 { stroke: var(--region-1); } .line-2 { stroke: var(--good); }
.key.line-0 { background: var(--region-0); } .key.line-1 { background: var(--region-1); } .key.line-2 { background: var(--good); }
ul { color: var(--soft); font-size: 13px; padding-left: 20px; }
.key.region-0 { background: var(--region-0); } .key.region-1 { background: var(--region-1); } .key.failed { background: var(--failed); }
`;

export function reportOf(results: readonly ScenarioResult[]): string {
  const title = `Drill: ${results.map(({ scenario }) => scenario.name).join(', ')}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}</title><style>${STYLE}</style></head>
<body>${results.map(scenarioSection).join('')}</body></html>
`;
}

function scenarioSection(result: ScenarioResult): string {
  const { scenario, seed, passed, targets, startedAt, sections } = result;
  const missed = targets.filter((target) => !target.passed).map(({ name }) => name);
  return `<section>
<h1>${escapeXml(scenario.title)}</h1>
<p class="soft">${escapeXml(scenario.name)}, seed ${seed}, ${new Date(startedAt).toISOString()}</p>
<p class="verdict ${passed ? 'ok' : 'bad'}">${passed ? 'All targets met' : `Missed: ${escapeXml(missed.join('; '))}`}</p>
<p>${escapeXml(scenario.about)}</p>
${tableSection(result)}
${sections.map(figuresSection).join('')}
</section>`;
}

function tableSection({ columns, rows }: ScenarioResult): string {
  const lines = rows.map(
    ({ label, target, cells }) =>
      `<tr><td>${escapeXml(label)}</td><td>${escapeXml(target)}</td>${cells
        .map(({ text, judged }) => `<td${verdictClass(judged)}>${escapeXml(text)}</td>`)
        .join('')}</tr>`,
  );
  return `<div class="scroll"><table><thead><tr><th></th><th>target</th>${columns
    .map((column) => `<th>${escapeXml(column)}</th>`)
    .join('')}</tr></thead><tbody>${lines.join('')}</tbody></table></div>`;
}

function verdictClass(judged: TargetResult | undefined): string {
  return judged === undefined ? '' : ` class="${judged.passed ? 'ok' : 'bad'}"`;
}

function figuresSection({ heading, figures, notes = [] }: Section): string {
  const drawn = figures.map(({ svg, caption, keys }) => {
    const key = keys.map(
      ({ style, text }) => `<span class="label"><span class="key ${style}"></span>${escapeXml(text)}</span>`,
    );
    return `<figure>${svg}<figcaption>${escapeXml(caption)}${key.join(' ')}</figcaption></figure>`;
  });
  const list =
    notes.length === 0 ? '' : `<ul>${notes.map((note) => `<li>${escapeXml(note)}</li>`).join('')}</ul>`;
  return `<h2>${escapeXml(heading)}</h2>${drawn.join('')}${list}`;
}
