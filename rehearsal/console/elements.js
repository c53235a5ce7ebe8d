// What the page is drawn with. Everything that comes from the server is put in as text, never as markup.
const SIGNS = { active: '▲', good: '●', warn: '◆', bad: '■', muted: '○' };

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
export function element(tag, attributes = {}, ...children) {
  const svg = ['svg', 'path', 'rect', 'line'].includes(tag);
  const made = svg
    ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Colour alone says nothing to some: each tone has its sign. */
export function pill(text, tone) {
  return element(
    'span',
    { class: 'pill', 'data-tone': tone },
    element('span', { 'aria-hidden': 'true' }, SIGNS[tone]),
    text,
  );
}

/** A row of a list: what, how that is, and why. */
export function row(name, shown, why) {
  return element(
    'li',
    {},
    element('span', { class: 'name' }, name),
    shown,
    element('span', { class: 'why' }, why),
  );
}

/** A row of a timeline. */
export function moment(at, tone, what, why) {
  return element(
    'li',
    {},
    element('time', { datetime: new Date(at).toISOString() }, clock(at)),
    element('span', { class: 'mark', 'data-tone': tone, 'aria-hidden': 'true' }),
    element('span', {}, what, element('small', {}, why)),
  );
}

export const clock = (at) => new Date(at).toLocaleTimeString('en-GB');
export const count = (number) => (Math.round(number * 10) / 10).toLocaleString('en');
export const milliseconds = (number) => `${Math.round(number).toLocaleString('en')} ms`;

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
