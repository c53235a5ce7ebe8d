// The console's page: draws each second's state, and sends what its buttons ask for. The server puts this and the files
// it imports into the page as one script.
import { $, count, duration, element, milliseconds, moment, pill, row } from './elements.js';
import { changeInWords, drawRouting, voteInWords } from './routing.js';
import { drawStorage, storedInWords } from './storage.js';

const SECONDS = 120;
const TONES = {
  running: 'good',
  starting: 'warn',
  frozen: 'bad',
  isolated: 'bad',
  partitioned: 'bad',
  gray: 'bad',
  hollow: 'bad',
  out: 'bad',
  dead: 'bad',
};
/** What each does, for whoever hovers over its button. */
const FAULTS = {
  kill: 'Its processes end at once, and its copy of the data is gone with them',
  outage: 'A data centre without power: all of it is gone, and nothing answers, not even to refuse',
  freeze: 'Its processes stop: connections stay open and silent',
  isolate: 'It runs, but nothing passes between it and anyone',
  partition: 'Clients reach it, but nothing passes between it and the other regions',
  gray: 'Its health answers, and all other work fails',
  hollow: 'Its health and its readiness answer, and all other work fails',
  revive: 'Ends what was done to it',
};
const COLORS = { primary: 'var(--primary)', standby: 'var(--standby)', quorum: 'var(--quorum)' };

let history = [];
let state;

const ago = (since) => duration(state.at - since);

/** Which faults make sense; the server has the last word. */
function sensible({ condition, endpoint }, fault) {
  if (condition === 'starting') return false;
  if (fault === 'revive') return condition !== 'running';
  if (fault === 'kill' || fault === 'outage') return condition !== 'dead' && condition !== 'out';
  return condition === 'running' && ((fault !== 'gray' && fault !== 'hollow') || endpoint !== undefined);
}

function drawRegions() {
  const host = $('regions');
  for (const region of state.regions) {
    let card = host.querySelector(`[data-region="${region.region}"]`);
    if (!card) {
      card = regionCard(region);
      host.append(card);
    }
    updateCard(card, region);
  }
}

function regionCard({ region, role, endpoint }) {
  const card = element('article', {
    class: 'region',
    'data-region': region,
    'data-role': role,
    'aria-label': region,
  });
  const head = element(
    'div',
    { class: 'region-head' },
    element('h3', {}, region),
    element('span', { class: 'role' }, role),
  );
  head.append(element('span', { class: 'status' }));
  const spark = element('svg', {
    class: 'spark',
    viewBox: '0 0 120 48',
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  spark.append(element('path', { class: 'area' }), element('path', { class: 'line' }));
  const number = element('div', {}, element('b', {}, '0'), element('small', {}, 'answers per second'));
  const votes = element('p', { class: 'votes' }, 'Holds a copy of the data and votes on every write.');
  const facts = element('div', { class: 'facts' });
  facts.append(element('span', { class: 'errors' }), element('span', { class: 'where' }));
  facts
    .querySelector('.where')
    .append(
      endpoint
        ? element(
            'a',
            { href: `${endpoint}/ready`, target: '_blank', rel: 'noopener' },
            endpoint.replace('http://', ''),
          )
        : 'serves nobody',
    );
  const buttons = element('div', { class: 'buttons' });
  for (const [fault, title] of Object.entries(FAULTS)) {
    const label = fault[0].toUpperCase() + fault.slice(1);
    const button = element(
      'button',
      { type: 'button', 'data-fault': fault, title: title, 'aria-label': `${label} ${region}` },
      label,
    );
    button.addEventListener('click', () => order('/api/faults', { region, fault }, button));
    buttons.append(button);
  }
  card.append(
    head,
    element('div', { class: 'rate' }, ...(endpoint ? [number, spark] : [votes])),
    facts,
    buttons,
  );
  return card;
}

function updateCard(card, region) {
  const { condition, servedPerSecond, errorsPerSecond, since, endpoint } = region;
  card.dataset.condition = condition;
  const status = card.querySelector('.status');
  status.replaceChildren(...standing(region), pill(condition, TONES[condition]));
  status.title = `for ${ago(since)}`;
  const errors = card.querySelector('.errors');
  errors.textContent = endpoint
    ? `${count(errorsPerSecond)} errors per second`
    : `${condition} for ${ago(since)}`;
  errors.className = errorsPerSecond > 0 ? 'errors bad-text' : 'errors';
  if (endpoint) {
    card.querySelector('.rate b').textContent = count(servedPerSecond);
    const values = history.slice(-SECONDS).map((second) => second.regions[region.region]?.served ?? 0);
    drawSpark(card.querySelector('.spark'), values);
  }
  for (const button of card.querySelectorAll('button'))
    if (!button.dataset.busy) button.disabled = !sensible(region, button.dataset.fault);
}

/** What the routing state and DNS say of a region. */
function standing({ region, role }) {
  const { routing, failover } = state;
  const pills = [];
  if (routing?.activeRegion === region) pills.push(pill('active', 'active'));
  else if (routing && role === 'primary') pills.push(pill('evacuated', 'warn'));
  if (failover?.region === region) pills.push(pill('in DNS', 'muted'));
  return pills;
}

function drawSpark(svg, values) {
  const top = Math.max(10, ...values);
  const points = values.map((value, index) => [SECONDS - values.length + index + 1, 46 - (value / top) * 42]);
  const line = points.map(([x, y], index) => `${index ? 'L' : 'M'}${x} ${y.toFixed(1)}`).join('');
  const [area, stroke] = svg.children;
  stroke.setAttribute('d', line || 'M0 46L120 46');
  area.setAttribute('d', line ? `${line}L${SECONDS} 48L${points[0][0]} 48Z` : '');
}

/** One bar a second: successes by region from below, failures on top. */
function drawChart() {
  const chart = $('chart');
  const seconds = history.filter(({ client }) => client).slice(-SECONDS);
  const total = ({ client }) => client.succeeded + client.failed;
  const highest = Math.max(10, ...seconds.map(total));
  const step = highest <= 20 ? 10 : highest <= 60 ? 20 : highest <= 250 ? 50 : 100;
  const top = Math.ceil((highest * 1.05) / step) * step;
  const height = (value) => (value / top) * 165;
  const shapes = [];
  const marks = [];
  for (let value = 0; value <= top; value += step) {
    const y = 168 - height(value);
    shapes.push(element('line', { class: 'grid', x1: 0, x2: 1200, y1: y, y2: y }));
    const mark = element('span', {}, String(value));
    mark.style.top = `${y}px`;
    marks.push(mark);
  }
  for (const [index, { client }] of seconds.entries()) {
    const x = (SECONDS - seconds.length + index) * 10 + 1;
    let y = 168;
    const bar = (value, fill) => {
      if (value <= 0) return;
      y -= height(value);
      shapes.push(element('rect', { x, y, width: 8, height: height(value), fill }));
    };
    for (const { region, role } of state.regions) bar(client.byRegion[region] ?? 0, COLORS[role]);
    bar(client.failed, 'var(--bad)');
  }
  chart.replaceChildren(...shapes);
  $('axis-y').replaceChildren(...marks);
  const last = seconds.slice(-60).map(({ client }) => client);
  const sum = (of) => last.reduce((all, client) => all + of(client), 0);
  const failed = sum((client) => client.failed);
  const now = last.at(-1);
  $('chart-text').textContent = now
    ? `requests per second, by the region that answered; ${failed} failed in the last minute`
    : 'no sample client at work';
  const numbers = [
    ['Requests per second', now ? count(now.succeeded + now.failed) : '–'],
    ['Failed, last minute', now ? count(failed) : '–', failed > 0],
    ['Median latency', now ? milliseconds(now.latencyMsMedian) : '–'],
    [
      'Slowest, last minute',
      now ? milliseconds(Math.max(...last.map((client) => client.latencyMsMax))) : '–',
    ],
    [
      'Longest gap, last minute',
      now ? milliseconds(Math.max(...last.map((client) => client.gapMsMax))) : '–',
    ],
  ];
  $('numbers').replaceChildren(
    ...numbers.map(([name, value, bad]) =>
      element('div', {}, element('dt', {}, name), element('dd', bad ? { class: 'bad-text' } : {}, value)),
    ),
  );
  const failures = element('li', {}, element('i', { style: '--swatch: var(--bad)' }), 'failed');
  $('legend').replaceChildren(
    ...state.regions
      .filter(({ endpoint }) => endpoint)
      .map(({ region, role }) =>
        element('li', {}, element('i', { style: `--swatch: ${COLORS[role]}` }), `served by ${region}`),
      ),
    failures,
  );
}

function drawDns() {
  const { failover } = state;
  const answer = element('div', { class: 'answer' });
  if (failover)
    answer.append(
      element('b', {}, failover.name),
      element('span', {}, ` → ${failover.region}`),
      element('small', {}, `CNAME ${failover.target}, TTL ${failover.ttlS} s`),
    );
  else answer.append('This stage has no domain: clients fail over by themselves, DNS does not.');
  $('failover').replaceChildren(answer);
  $('checks').replaceChildren(
    ...state.healthChecks.map(({ name, healthy, why, since }) =>
      row(
        name,
        pill(healthy ? 'healthy' : 'unhealthy', healthy ? 'good' : 'bad'),
        `${why} · for ${ago(since)}`,
      ),
    ),
  );
}

function drawAlarms() {
  const tones = { OK: 'good', ALARM: 'bad', INSUFFICIENT_DATA: 'muted' };
  const words = { OK: 'OK', ALARM: 'alarm', INSUFFICIENT_DATA: 'too little data' };
  $('alarms').replaceChildren(
    ...state.alarms.map(({ name, region, state: value, description, since }) =>
      row(
        name,
        pill(words[value], tones[value]),
        `${region}${description ? ` · ${description}` : ''} · for ${ago(since)}`,
      ),
    ),
  );
  if (state.alarms.length === 0)
    $('alarms').replaceChildren(element('li', { class: 'empty' }, 'No alarm is rehearsed.'));
  $('not-rehearsed-count').textContent = `(${state.notRehearsed.length})`;
  const list = $('not-rehearsed');
  if (list.childElementCount !== state.notRehearsed.length)
    list.replaceChildren(...state.notRehearsed.map((text) => element('li', {}, text)));
}

/** An event in words: what, why, and how good that is. */
function inWords(event) {
  switch (event.type) {
    case 'region':
      return [`${event.region} is ${event.condition}`, event.why, TONES[event.condition]];
    case 'healthCheck':
      return [
        `${event.name}: ${event.healthy ? 'healthy' : 'unhealthy'}`,
        event.why,
        event.healthy ? 'good' : 'bad',
      ];
    case 'routing':
      return [`DNS leads to ${event.answer.region}`, `${event.answer.name} → ${event.answer.target}`, 'warn'];
    case 'routingChange':
      return changeInWords(event.change);
    case 'vote':
      return voteInWords(event.vote);
    case 'storage':
    case 'schedule':
      return storedInWords(event);
    case 'alarm':
      return [
        `${event.name} is ${event.state}`,
        `${event.region} · ${event.why}`,
        event.state === 'ALARM' ? 'bad' : 'good',
      ];
    default:
      return [event.type, '', 'muted'];
  }
}

let shown = '';

function drawTimeline() {
  // Some come to be known later than others that are younger.
  const events = state.timeline.slice(-60).sort((a, b) => b.at - a.at);
  const key = events.map(({ at }) => at).join();
  if (key === shown) return;
  shown = key;
  $('timeline').replaceChildren(
    ...events.map((event) => {
      const [what, why, tone] = inWords(event);
      return moment(event.at, tone, what, why);
    }),
  );
}

function drawHeadline() {
  const broken = state.regions.filter(({ condition }) => condition !== 'running');
  const minute = history.slice(-60).filter(({ client }) => client);
  const failed = minute.reduce((all, { client }) => all + client.failed, 0);
  const served = Object.entries(state.client?.byRegion ?? {}).sort(([, a], [, b]) => b - a)[0];
  const parts = [];
  if (broken.length === 0) parts.push('All regions run. ');
  for (const { region, condition } of broken)
    parts.push(element('strong', { class: 'bad-text' }, region), ` is ${condition}. `);
  const { routing } = state;
  const primary = state.regions.find(({ role }) => role === 'primary')?.region;
  if (routing && routing.activeRegion !== primary)
    parts.push(element('strong', {}, routing.activeRegion), ' is active. ');
  if (served) parts.push('The client is served by ', element('strong', {}, served[0]), '. ');
  if (minute.length > 0)
    parts.push(
      failed === 0 ? 'Nothing failed in the last minute.' : `${failed} requests failed in the last minute.`,
    );
  const text = parts.map((part) => part.textContent ?? part).join('');
  if ($('headline').textContent !== text) $('headline').replaceChildren(...parts);
  $('stage').textContent = `stage ${state.stage}`;
  $('uptime').textContent = `up ${ago(state.startedAt)}`;
}

function draw() {
  drawHeadline();
  drawRegions();
  drawRouting(state);
  drawStorage(state, order);
  drawChart();
  drawDns();
  drawAlarms();
  drawTimeline();
}

async function order(path, asked, button) {
  button.dataset.busy = 'yes';
  button.disabled = true;
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(asked),
    });
    if (!response.ok) say((await response.json()).detail);
  } catch {
    say('The rehearsal does not answer.');
  } finally {
    delete button.dataset.busy;
    button.disabled = false;
    if (state) draw();
  }
}

let hiding;

function say(text) {
  const toast = $('toast');
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    toast.hidden = true;
  }, 6000);
}

function connection(text, tone) {
  const shownPill = $('connection');
  shownPill.textContent = text;
  shownPill.dataset.tone = tone;
}

const events = new EventSource('/api/events');
events.addEventListener('open', () => connection('live', 'good'));
events.addEventListener('error', () => connection('lost', 'bad'));
events.addEventListener('history', ({ data }) => {
  history = JSON.parse(data).history;
});
events.addEventListener('state', ({ data }) => {
  const news = JSON.parse(data);
  state = news.state;
  if (news.second) history = [...history.slice(1 - SECONDS), news.second];
  draw();
});
