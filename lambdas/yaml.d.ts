// A YAML file is bundled as its text (esbuild's loader `text`).
declare module '*.yaml' {
  const text: string;
  export default text;
}
