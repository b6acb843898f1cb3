/**
 * Builds the browser's third-party parts from node_modules into static/chat/vendor/:
 * one minified ES module each, with its licence. Versions are pinned in package.json:
 *
 *     npm ci && npm run vendor              write them
 *     npm ci && npm run vendor -- --check   fail if the files are not what would be written
 */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { build, transform } from "esbuild";

const ROOT = path.resolve(import.meta.dirname, "..");
const MODULES = path.join(ROOT, "node_modules");
const TARGET = path.join(ROOT, "static", "chat", "vendor");
const require = createRequire(import.meta.url);

/** The oldest browsers that the site promises. */
const BROWSERS = ["chrome120", "firefox120", "safari17"];

const PARTS = [
  {
    name: "markdown-it",
    types: 'export * from "markdown-it";\nexport { default } from "markdown-it";\n',
    // Bare addresses are found by a rule of our own, which knows CJK punctuation.
    without: { "linkify-it": "export class LinkifyIt {}" },
  },
  {
    name: "@highlightjs/cdn-assets",
    as: "highlight",
    file: "es/highlight.min.js",
    types: 'export { default } from "highlight.js";\n',
  },
  {
    name: "katex",
    file: "dist/katex.mjs",
    types:
      'import katex from "katex";\n' +
      "/** What KaTeX will make an element of. */\n" +
      "export interface DomTree {\n  children?: DomTree[];\n  toNode(): Node;\n}\n" +
      "declare const withTree: typeof katex & {\n" +
      "  __renderToDomTree(tex: string, options?: katex.KatexOptions): DomTree;\n};\n" +
      "export { withTree as default };\n",
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

/** Every browser we serve reads WOFF2. */
const withoutOldFonts = (text) =>
  text.replace(/, url\([^)]*\.(?:woff|ttf)\) format\("[^"]*"\)/g, "");

/** What is patched must be there to be patched. */
function patched(code, [from, to]) {
  if (!code.includes(from)) throw new Error(`Nothing to patch: ${from}`);
  return code.replaceAll(from, to);
}

/**
 * One module of the package and all that it imports, but for what `without` replaces;
 * and the folders of the packages that this took.
 */
async function bundled({ name, file = "", without = {}, patch }) {
  const plugin = {
    name: "vendor",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^[^./]/ }, (args) =>
        args.path in without
          ? { path: args.path, namespace: "replaced", sideEffects: false }
          : undefined,
      );
      onLoad({ filter: /.*/, namespace: "replaced" }, (args) => ({
        contents: without[args.path],
      }));
      if (!patch) return;
      onLoad({ filter: /katex\.mjs$/ }, async (args) => ({
        contents: patched(await readFile(args.path, "utf8"), patch),
      }));
    },
  };
  const result = await build({
    entryPoints: [file ? path.join(MODULES, name, file) : name],
    absWorkingDir: ROOT,
    bundle: true,
    minify: true,
    format: "esm",
    target: BROWSERS,
    legalComments: "none",
    metafile: true,
    write: false,
    plugins: [plugin],
  });
  const inputs = Object.keys(result.metafile.inputs).flatMap(
    (input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? [],
  );
  return { code: result.outputFiles[0].text, folders: [...new Set(inputs)] };
}

/** What a package is called, and under which terms it may be used. */
async function termsOf(folder) {
  const { name, version, license } = require(path.join(ROOT, folder, "package.json"));
  const [file] = (await readdir(path.join(ROOT, folder))).filter((each) =>
    /^licen[cs]e/i.test(each),
  );
  const text = await readFile(path.join(ROOT, folder, file), "utf8");
  return { what: `${name} ${version} (${license})`, text };
}

/** The style sheet of a part, and the fonts that it names. */
async function styled({ name, as = name, style, fonts }) {
  const folder = path.join(MODULES, name);
  const css = withoutOldFonts(await readFile(path.join(folder, style), "utf8"));
  const { code } = await transform(css, { loader: "css", minify: true });
  const found = { [`${as}.css`]: code };
  for (const font of await readdir(path.join(folder, fonts))) {
    if (font.endsWith(".woff2")) {
      found[`fonts/${font}`] = await readFile(path.join(folder, fonts, font));
    }
  }
  return found;
}

/** All files of a part by name, and its row in the README. */
async function vendored(part) {
  const { name, as = name, types, style } = part;
  const { code, folders } = await bundled(part);
  const terms = await Promise.all(folders.map(termsOf));
  const licences = terms.map(({ what, text }) => `${what}\n\n${text.trim()}\n`);
  const files = {
    [`${as}.js`]: code,
    [`${as}.d.ts`]: types,
    [`${as}.LICENSE.txt`]: licences.join("\n\n"),
    ...(style ? await styled(part) : {}),
  };
  const also = style ? `, ${as}.css, fonts` : "";
  const packages = terms.map(({ what }) => what).join(", ");
  return { files, row: `| ${as}.js${also} | ${packages} |` };
}

const parts = await Promise.all(PARTS.map(vendored));
const readme = `# Third-party parts

Written by \`npm run vendor\`; do not edit. Versions are pinned in package.json.

| file | packages |
| --- | --- |
${parts.map(({ row }) => row).join("\n")}
`;
const files = Object.assign(
  { "README.md": readme },
  ...parts.map((part) => part.files),
);

/** Stop unless the folder holds exactly these files. */
async function check() {
  const entries = await readdir(TARGET, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(TARGET, path.join(entry.parentPath, entry.name)));
  const wrong = names.filter((name) => !(name in files));
  for (const [name, content] of Object.entries(files)) {
    const kept = await readFile(path.join(TARGET, name)).catch(() => null);
    if (!kept?.equals(Buffer.from(content))) wrong.push(name);
  }
  if (wrong.length > 0) {
    throw new Error(`Not what \`npm run vendor\` writes: ${wrong.join(", ")}`);
  }
}

async function write() {
  await rm(TARGET, { recursive: true, force: true });
  await mkdir(path.join(TARGET, "fonts"), { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(path.join(TARGET, name), content);
  }
}

await (process.argv.includes("--check") ? check() : write());
