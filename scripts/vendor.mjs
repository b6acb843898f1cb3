/**
 * Copy the browser's third-party parts from node_modules into static/chat/vendor/,
 * with their licences. Versions are pinned in package.json: `npm ci && npm run vendor`.
 */

import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
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
    // The policy forbids style attributes, and allows scripts to set styles.
    patch: [
      "node.setAttribute(attr, this.attributes[attr]);",
      'if (attr === "style") node.style.cssText = this.attributes[attr];\n' +
        "      else node.setAttribute(attr, this.attributes[attr]);",
    ],
    style: "dist/katex.css",
    fonts: "dist/fonts",
  },
];

/** The hashing of static files follows source map comments, and there are no maps. */
const withoutSourceMap = (text) => text.replace(/^\/\/[#@] sourceMappingURL=.*$/gm, "");

/** Every browser we serve reads WOFF2. */
const withoutOldFonts = (text) =>
  text.replace(/, url\([^)]*\.(?:woff|ttf)\) format\("[^"]*"\)/g, "");

/** What is patched must be there to be patched. */
function patched(code, [from, to]) {
  if (!code.includes(from)) throw new Error(`Nothing to patch: ${from}`);
  return code.replaceAll(from, to);
}

/** A part's style sheet, with the fonts that it names. */
async function vendorStyle(folder, as, style, fonts) {
  const css = withoutOldFonts(await readFile(path.join(folder, style), "utf8"));
  await writeFile(path.join(TARGET, `${as}.css`), css);
  await mkdir(path.join(TARGET, "fonts"));
  for (const font of await readdir(path.join(folder, fonts))) {
    if (font.endsWith(".woff2")) {
      await copyFile(path.join(folder, fonts, font), path.join(TARGET, "fonts", font));
    }
  }
}

async function vendor({ name, as = name, file, licence, types, patch, style, fonts }) {
  const folder = path.join(ROOT, "node_modules", name);
  const { version, license } = require(path.join(folder, "package.json"));
  const code = withoutSourceMap(await readFile(path.join(folder, file), "utf8"));
  const text = patch ? patched(code, patch) : code;
  await writeFile(path.join(TARGET, `${as}.js`), `${text.trimEnd()}\n`);
  await writeFile(path.join(TARGET, `${as}.d.ts`), types);
  if (style) await vendorStyle(folder, as, style, fonts);
  const terms = await readFile(path.join(folder, licence), "utf8");
  await writeFile(path.join(TARGET, `${as}.LICENSE.txt`), terms);
  console.log(`${as} ${version} (${license})`);
  const also = style ? `, ${as}.css, fonts` : "";
  return `| ${as}.js${also} | ${name} | ${version} | ${license} |`;
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
