// What is stored: each region's backup bucket, and what can be done to it, to the records, and to schedules out of turn.
import { $, clock, duration, element, pill } from './elements.js';

/** Of each region's own bucket; what each does, for whoever hovers over its button. */
const OF_A_BUCKET = [
  ['Break bucket', '/api/faults', { fault: 'bucket', available: false }, 'It answers nothing but 503'],
  ['Mend bucket', '/api/faults', { fault: 'bucket', available: true }, 'It works again, with all it had'],
  ['Rot', '/api/faults', { fault: 'rot' }, 'One byte of its newest backup is flipped, behind its back'],
  ['Back up', '/api/schedules', { schedule: 'backup-daily' }, 'Calls what the daily schedule calls, now'],
  [
    'Verify',
    '/api/schedules',
    { schedule: 'verification' },
    'Calls what the verification schedule calls, now',
  ],
];
const OF_THE_TABLE = [
  ['Damage 3 records', '/api/faults', { fault: 'damage', records: 3 }, 'Payloads change in every replica'],
  ['Wipe the table', '/api/faults', { fault: 'wipe' }, 'It loses every item in every replica'],
];

export function drawStorage({ buckets, at, clockAheadMs }, order) {
  $('storage').hidden = buckets.length === 0;
  const list = $('buckets');
  for (const bucket of buckets) {
    let shown = list.querySelector(`[data-region="${bucket.region}"]`);
    if (!shown) {
      shown = bucketRow(bucket, order);
      list.append(shown);
    }
    const { available, since } = bucket;
    shown
      .querySelector('.status')
      .replaceChildren(pill(available ? 'answers' : '503', available ? 'good' : 'bad'));
    shown.querySelector('.why').textContent = `for ${duration(at - since)}`;
    for (const button of shown.querySelectorAll('button[data-available]'))
      if (!button.dataset.busy) button.disabled = String(available) === button.dataset.available;
  }
  const table = $('table-buttons');
  if (table.childElementCount === 0) table.append(...OF_THE_TABLE.map((each) => button(each, {}, order)));
  $('clock').textContent =
    clockAheadMs > 0
      ? `Clocks here are ${duration(clockAheadMs)} ahead: ${new Date(at).toISOString().slice(0, 19)}Z`
      : `It is ${clock(at)}`;
}

function bucketRow({ region, bucket }, order) {
  return element(
    'li',
    { 'data-region': region },
    element('span', { class: 'name', title: bucket }, `backups in ${region}`),
    element('span', { class: 'status' }),
    element('span', { class: 'why' }),
    element('div', { class: 'buttons' }, ...OF_A_BUCKET.map((each) => button(each, { region }, order))),
  );
}

function button([label, path, asked, title], of, order) {
  const made = element(
    'button',
    {
      type: 'button',
      title,
      'data-fault': asked.fault ?? 'schedule',
      'aria-label': of.region ? `${label} ${of.region}` : label,
      ...(asked.available === undefined ? {} : { 'data-available': asked.available }),
    },
    label,
  );
  made.addEventListener('click', () => order(path, { ...asked, ...of }, made));
  return made;
}

const STORED = {
  bucket: 'A backup bucket fails',
  rot: 'A backup rots',
  damage: 'Records are damaged',
  wipe: 'The table is wiped',
};

/** An event of the timeline: what was done to what is stored, or what a schedule was called out of turn for. */
export function storedInWords({ type, what, mends, why, region, schedule, failed }) {
  if (type === 'storage') return mends ? ['It is mended', why, 'good'] : [STORED[what], why, 'bad'];
  return failed === undefined
    ? [`${schedule} has run`, region, 'good']
    : [`${schedule} failed`, `${region} · ${failed}`, 'bad'];
}
