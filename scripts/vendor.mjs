/**
 * Copy the browser's third-party parts from node_modules into static/chat/vendor/,
 * with their licences. Versions are pinned in package.json: `npm ci && npm run vendor`.
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "..");
const TARGET = path.join(ROOT, "static", "chat", "vendor");
const require = createRequire(import.meta.url);

const PARTS = [
  {
    name: "marked",
    file: "lib/marked.esm.js",
    licence: "LICENSE",
    types: 'export * from "marked";\n',
  },
  {
    name: "dompurify",
    file: "dist/purify.es.mjs",
    licence: "LICENSE",
    types: 'export { default } from "dompurify";\n',
  },
  {
    name: "@highlightjs/cdn-assets",
    as: "highlight",
    file: "es/highlight.min.js",
    licence: "LICENSE",
    types: 'export { default } from "highlight.js";\n',
  },
  {
    name: "katex",
    file: "dist/katex.mjs",
    licence: "LICENSE",
    types: 'export { default } from "katex";\n',
  },
];

/** The hashing of static files follows source map comments, and there are no maps. */
const withoutSourceMap = (text) => text.replace(/^\/\/[#@] sourceMappingURL=.*$/gm, "");

async function vendor({ name, as = name, file, licence, types }) {
  const folder = path.join(ROOT, "node_modules", name);
  const { version, license } = require(path.join(folder, "package.json"));
  const code = withoutSourceMap(await readFile(path.join(folder, file), "utf8"));
  await writeFile(path.join(TARGET, `${as}.js`), `${code.trimEnd()}\n`);
  await writeFile(path.join(TARGET, `${as}.d.ts`), types);
  const text = await readFile(path.join(folder, licence), "utf8");
  await writeFile(path.join(TARGET, `${as}.LICENSE.txt`), text);
  console.log(`${as} ${version} (${license})`);
  return `| ${as}.js | ${name} | ${version} | ${license} |`;
}

await rm(TARGET, { recursive: true, force: true });
await mkdir(TARGET, { recursive: true });
const rows = [];
for (const part of PARTS) rows.push(await vendor(part));
const readme = `# Third-party parts

Written by \`npm run vendor\`; do not edit. Versions are pinned in package.json.

| file | package | version | licence |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
await writeFile(path.join(TARGET, "README.md"), readme);
