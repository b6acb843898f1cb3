import "./page.js";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import original from "highlight.js";
import { seeded } from "./fakes.js";
import { treesOf } from "./trees.js";

const { NodeEmitter } = await import(
  "../../static/chat/js/view/markdown/code_nodes.js"
);
const { default: hljs } = await import("../../static/chat/vendor/highlight.js");
const { MarkdownStream } = await import("../../static/chat/js/view/markdown/stream.js");
const { markdownNodes } = await import("../../static/chat/js/view/markdown/nodes.js");

const SAMPLE = `# Title

A paragraph with **bold**, *emphasis*, \`code\`, a [link](https://example.com/x) and
a second line.

Setext
===

- one
- two
  - nested

    with a paragraph

1. first

2. second

\`\`\`python
def f():

    return "x"
\`\`\`

> a quote
> goes on
lazily

| a | b |
|---|--:|
| 1 | \`2\` |
| 3 | 4 |

Text with <b>html</b> and <script>alert(1)</script>.

<div onclick="x()">

block</div>

$$
x^2
$$

Costs $5 and $6, or \\(y\\).

- [ ] to do
- [x] done

    indented code

***

[ref]: https://example.com "no definitions"

The [ref] end\r
with CRLF`;

/** @param {HTMLElement} root of a stream: what it shows, without its own wrappers */
function shown(root) {
  for (const wrapper of root.querySelectorAll(".md-chunk, .md-live")) {
    wrapper.replaceWith(...wrapper.childNodes);
  }
  return root.innerHTML;
}

/** @param {string} text */
function atOnce(text) {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => 0);
  while (!stream.update(text, true));
  return shown(root);
}

/** @param {string} text @param {() => number} random */
function inPieces(text, random) {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => 0);
  for (let at = 0; at < text.length; at += 1 + Math.floor(random() * 40)) {
    stream.update(text.slice(0, at), false);
  }
  while (!stream.update(text, true));
  return shown(root);
}

test("however the text comes in pieces, it ends as when it comes at once", () => {
  const whole = atOnce(SAMPLE);
  for (let seed = 1; seed <= 60; seed += 1) {
    assert.equal(inPieces(SAMPLE, seeded(seed)), whole, `seed ${seed}`);
  }
});

/** @param {string} text */
const html = (text) => {
  const root = document.createElement("div");
  root.append(...markdownNodes(text));
  return root;
};

/** @param {string} name */
async function contract(name) {
  const file = new URL(`../contract/markdown/${name}.json`, import.meta.url);
  return JSON.parse(await readFile(file, "utf8"));
}

/** @type {{ kind: string, text: string, html: string }[]} */
const CASES = await contract("cases");
/** @type {string[]} */
const FRAGMENTS = await contract("fragments");

test("each text is shown as the contract says", () => {
  for (const { kind, text, html: expected } of CASES) {
    const right = document.createElement("div");
    right.innerHTML = expected.replaceAll(' disabled=""', "");
    const trees = treesOf(html(text).childNodes);
    assert.deepEqual(trees, treesOf(right.childNodes), `${kind}: ${text}`);
  }
});

test("whatever the text, character by character it ends as when it comes at once", () => {
  const random = seeded(16);
  const texts = CASES.map(({ text }) => text);
  for (let count = 0; count < 250; count += 1) texts.push(randomText(random));
  for (const text of texts) {
    const root = document.createElement("div");
    const stream = new MarkdownStream(root, () => 0);
    for (let at = 1; at <= text.length; at += 1)
      stream.update(text.slice(0, at), false);
    while (!stream.update(text, true));
    assert.equal(shown(root), html(text).innerHTML, JSON.stringify(text));
  }
});

/** @param {() => number} random */
function randomText(random) {
  const length = [3, 6, 12, 30][Math.floor(random() * 4)] ?? 3;
  const pick = () => FRAGMENTS[Math.floor(random() * FRAGMENTS.length)] ?? "";
  return Array.from({ length }, pick).join("");
}

for (const opener of ["$$\n", "\\[\n", "words $$ and\n", "words \\[ and\n"]) {
  test(`an open formula holds the text back, but not for ever: ${opener.trim()}`, () => {
    const items = Array.from({ length: 800 }, (_, index) => `- item ${index}\n`);
    const end = opener.includes("$") ? "$$\n\nend\n" : "\\]\n\nend\n";
    for (const lines of [items.slice(0, 50), items]) {
      const text = `before\n\n${opener}${lines.join("")}${end}`;
      assert.equal(inSteps(text, 2_000), html(text).innerHTML);
    }
  });
}

/** @param {string} text @param {number} step */
function inSteps(text, step) {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => 0);
  for (let at = step; at < text.length; at += step)
    stream.update(text.slice(0, at), false);
  while (!stream.update(text, true));
  return shown(root);
}

test("a finished block is never touched again", () => {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => 0);
  stream.update("One.\n\nTwo\nis", false);
  const first = root.querySelector("p");
  stream.update("One.\n\nTwo\nis **bold**\n\nThree", false);
  assert.ok(first);
  assert.equal(root.querySelector("p"), first);
  assert.match(root.innerHTML, /<strong>bold<\/strong>/);
});

test("text that grows keeps its node", () => {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => 0);
  stream.update("Hello", false);
  const node = root.querySelector("p")?.firstChild;
  stream.update("Hello, world", false);
  assert.equal(root.querySelector("p")?.firstChild, node);
  assert.equal(root.textContent, "Hello, world");
});

test("a text that is replaced is shown anew", () => {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => 0);
  stream.update("One.\n\nTwo.\n\nThree", false);
  stream.update("One.", true);
  assert.equal(root.textContent, "One.");
});

test("between readings it rests four times as long as they took", () => {
  let time = 0;
  const root = document.createElement("div");
  const stream = new MarkdownStream(root, () => {
    time += 1;
    return time;
  });
  assert.equal(stream.update("a", false), true);
  assert.equal(stream.update("a b", false), false);
  time += 20;
  assert.equal(stream.update("a b", false), true);
});

const HOSTILE = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg><style><img title='</style><img src onerror=alert(1)>'></svg>",
  "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](data:text/html,<script>alert(1)</script>)",
  "[x](vbscript:x)",
  "[x](//evil.example/y)",
  "[x](/admin/logout)",
  "![x](https://evil.example/?secret)",
  "![x](data:image/svg+xml;base64,PHN2Zz4=)",
  "![x][r]\n\n[r]: https://evil.example/?secret",
  '<https://evil.example/" onmouseover="alert(1)>',
  "<form action=https://evil.example><input name=q></form>",
  "<style>*{background:url(https://evil.example)}</style>",
  "`<script>`",
  "```html\n<script>alert(1)</script>\n```",
  "| <img src=x onerror=alert(1)> |\n|---|\n| <iframe src=//evil.example> |",
  "$\\href{javascript:alert(1)}{x}$",
];

for (const text of HOSTILE) {
  test(`harmless: ${text.slice(0, 50).replaceAll("\n", " ")}`, () => {
    const root = html(text);
    assert.equal(
      root.querySelector("script,svg:not(.icon),math,style,form,input,iframe,object"),
      null,
    );
    for (const element of root.querySelectorAll("*")) {
      for (const { name, value } of element.attributes) assertHarmless(name, value);
    }
  });
}

/**
 * @param {string} name of an attribute
 * @param {string} value
 */
function assertHarmless(name, value) {
  assert.doesNotMatch(name, /^on|^style$|^srcdoc$/);
  if (name === "href") assert.match(value, /^(https?:\/\/|mailto:|#icon-[a-z-]+$)/);
  if (name === "src") assert.match(value, /^data:image\/(png|jpeg|gif|webp);base64,/);
}

test("links show where they go and give nothing away", () => {
  const link = html("[click me](https://evil.example/path)").querySelector("a");
  assert.match(link?.textContent ?? "", /evil\.example/);
  assert.equal(link?.getAttribute("rel"), "noopener noreferrer nofollow");
});

test("a long table shows its first rows and how many more", () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => `| ${i} | x |`);
  const root = html(["| a | b |", "|---|---|", ...rows].join("\n"));
  assert.equal(root.querySelectorAll("tbody tr").length, 200);
  assert.match(root.querySelector("button")?.textContent ?? "", /9,800/);
});

test("a line of 1 MB is shown as it is, in good time", () => {
  const start = performance.now();
  const text = "*a* [b](c ".repeat(100_000).trimEnd();
  const root = html(text);
  assert.equal(root.textContent, text);
  assert.ok(performance.now() - start < 2_000);
});

test("money is not mathematics", () => {
  assert.equal(html("It costs $5 and $6.").querySelector(".formula"), null);
  assert.equal(html("So $x^2$ it is.").querySelector(".formula")?.textContent, "x^2");
});

test("text nested deeper than can be read is shown as it is", () => {
  for (const [piece, count] of /** @type {const} */ ([
    [">", 3_000],
    ["- ", 3_000],
    ["1. ", 3_000],
    ["*", 20_000],
    ["[", 20_000],
  ])) {
    const source = `before\n\n${piece.repeat(count)}a${"*".repeat(count)}`;
    assert.ok(html(source).textContent?.includes("before"));
    const live = new MarkdownStream(document.createElement("div"), () => 0);
    while (!live.update(source, true));
  }
});

test("each block is written in the direction of its own language", () => {
  const shown = html("שלום\n\n- אחת\n  - two\n\n```\ncode\n```\n\n> ציטוט\n\n# כותרת");
  const directed = [...shown.querySelectorAll("[dir=auto]")].map((e) => e.tagName);
  assert.deepEqual(directed, ["P", "UL", "BLOCKQUOTE", "H3"]);
});

test("code in colour is the same text, with the highlighter's own classes", () => {
  const code =
    'class A extends B {\n  /** <b> & */ f(x) { return /[a-z]+/ + "</script>"; }\n}';
  const { value } = original.highlight(code, { language: "javascript" });
  const right = document.createElement("div");
  right.innerHTML = value;
  hljs.configure({ __emitter: NodeEmitter });
  const { _emitter, errorRaised } = hljs.highlight(code, { language: "javascript" });
  assert.equal(errorRaised, undefined);
  const { root } = /** @type {InstanceType<typeof NodeEmitter>} */ (_emitter);
  assert.equal(root.textContent, code);
  assert.deepEqual(treesOf(root.childNodes), treesOf(right.childNodes));
});
