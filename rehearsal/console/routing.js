// Who is active and why, as the routing state in the table says, and what each observer sees and wants.
import { $, clock, duration, element, moment, pill, row } from './elements.js';

const CHANGES_SHOWN = 5;
/** A vote that old counts no more (protocol/limits.ts), and its observer should have looked again. */
const REPORT_AGE_MS_MAX = 45_000;

export function drawRouting({ routing, regions, at }) {
  const panel = $('routing');
  panel.hidden = routing === undefined;
  if (!routing) return;
  const primary = regions.find(({ role }) => role === 'primary')?.region;
  $('active').replaceChildren(...activeInWords(routing, primary, at));
  $('observers').replaceChildren(...regions.map(({ region }) => observerRow(region, routing, at)));
  drawChanges(routing.changes.slice(0, CHANGES_SHOWN));
}

/** Only when there is a new one, so that whoever scrolls it is not thrown back. */
function drawChanges(changes) {
  const list = $('changes');
  const shown = String(changes[0]?.epoch ?? 0);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  const rows = changes.map((change) => {
    const [what, why, tone] = changeInWords(change);
    return moment(change.at, tone, what, why);
  });
  if (rows.length === 0) rows.push(element('li', { class: 'empty' }, 'Nothing ever changed.'));
  list.replaceChildren(...rows);
}

function activeInWords({ activeRegion, epoch, since, reason, draining, readIn, readAt }, primary, at) {
  const facts = [
    since === 0 ? 'from the beginning' : `since ${clock(since)}, for ${duration(at - since)}`,
    `epoch ${epoch}`,
    `read in ${readIn} ${duration(at - readAt)} ago`,
  ];
  const shown = [
    element('b', {}, activeRegion),
    element('span', {}, activeRegion === primary ? ' is active' : ` is active, ${primary} is evacuated`),
    element('small', {}, facts.join(' · ')),
  ];
  if (reason) shown.push(element('p', {}, reason));
  if (draining)
    shown.push(
      element(
        'p',
        { class: 'warn-text' },
        `being drained towards ${draining.to} for ${duration(at - draining.since)}`,
      ),
    );
  return shown;
}

function observerRow(region, { reports }, at) {
  const name = `observer in ${region}`;
  const report = reports.find(({ observer }) => observer === region);
  if (!report) return row(name, pill('no report yet', 'muted'), 'it looks every 15 s');
  const seen = Object.entries(report.watched)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([watched, { failures, why }]) =>
      failures === 0 ? `${watched} ready` : `${watched} failed ${failures} in a row: ${why}`,
    );
  if (report.abstains) seen.unshift(report.abstains);
  const age = at - report.at;
  return row(name, stanceOf(report, age), `${seen.join(' · ')} · ${duration(age)} ago`);
}

function stanceOf({ vote, abstains }, age) {
  if (age > REPORT_AGE_MS_MAX) return pill('silent', 'muted');
  if (abstains) return pill('abstains', 'warn');
  if (!vote) return pill('no vote', 'good');
  const shown = pill(`leave ${vote.against}${vote.emergency ? ', emergency' : ''}`, 'bad');
  shown.title = vote.why;
  return shown;
}

/** What, why, and how good that is. */
export function changeInWords({ what, from, to, by, reason, votes, forced }) {
  const voters = votes.length > 0 ? `: ${votes.map(({ observer }) => observer).join(', ')}` : '';
  const why = `by ${by === 'operator' ? 'an operator' : `observers${voters}`}${forced ? ', forced' : ''} · ${reason}`;
  if (what === 'drain') return [`${from} is drained towards ${to}`, why, 'warn'];
  if (what === 'drain_given_up') return [`draining ${from} was given up`, why, 'warn'];
  return [`moved from ${from} to ${to}`, why, by === 'operator' ? 'warn' : 'bad'];
}

export function voteInWords({ observer, against, emergency, why }) {
  return [`${observer} votes to leave ${against}${emergency ? ', emergency' : ''}`, why, 'bad'];
}
