// S3's answers in XML: listings of buckets and of what they hold.
const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

export function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}

/** Elements in order; a list gives one element an item, undefined none. */
export type Content = readonly (readonly [name: string, value: Value])[];
type Value = string | number | boolean | Content | undefined;

function elements(content: Content): string {
  return content
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        `<${name}>${typeof value === 'object' ? elements(value) : escaped(String(value))}</${name}>`,
    )
    .join('');
}

export function xmlDocument(root: string, content: Content): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${NAMESPACE}">${elements(content)}</${root}>`;
}
