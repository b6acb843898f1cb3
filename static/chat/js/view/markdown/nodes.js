/**
 * Markdown's tokens as elements, built one by one: no HTML is ever parsed.
 *
 * @import { Token, Tokens } from "../../../vendor/marked.js"
 */

import { button, h } from "../dom.js";
import { blocks, inside } from "./lexer.js";
import { image, link } from "./links.js";
import { tableNode } from "./table.js";

/** A paragraph longer than this is shown as it is. */
const PARAGRAPH_LIMIT = 30_000;
const MAX_DEPTH = 24;

/**
 * The elements of some blocks. Each outermost one is written in the direction of its
 * first letter; what is inside follows it.
 * @param {Token[]} tokens
 * @returns {Node[]}
 */
export function blockNodes(tokens) {
  const nodes = nestedNodes(tokens, 0);
  for (const node of nodes) {
    if (node instanceof HTMLElement && !node.matches(".code, .formula")) {
      node.dir = "auto";
    }
  }
  return nodes;
}

/**
 * @param {Token[]} tokens
 * @param {number} depth
 * @returns {Node[]}
 */
function nestedNodes(tokens, depth) {
  return tokens.flatMap((token) => blockNode(token, depth) ?? []);
}

/**
 * @param {Token} token
 * @param {number} depth
 * @returns {Node | null}
 */
function blockNode(token, depth) {
  if (depth > MAX_DEPTH) return h("p", {}, token.raw);
  return BLOCKS[token.type]?.(/** @type {any} */ (token), depth) ?? null;
}

/** @type {Record<string, (token: any, depth: number) => Node | null>} */
const BLOCKS = {
  space: () => null,
  hr: () => h("hr"),
  paragraph: (token) => h("p", {}, ...inlineNodes(token.tokens)),
  text: (token) => textBlock(token),
  heading: (token) => headingNode(token),
  code: (token) => codeNode(token.text, languageOf(token.lang)),
  blockquote: (token, depth) =>
    h("blockquote", {}, ...nestedNodes(token.tokens, depth + 1)),
  list: (token, depth) => listNode(token, depth),
  table: (token) => tableNode(token, inlineNodes),
  blockMath: (token) => formulaNode(token.text, true),
};

/** @param {Tokens.Text} token the text of a tight list's item */
function textBlock(token) {
  return h("span", {}, ...(token.tokens ? inlineNodes(token.tokens) : [token.text]));
}

/**
 * All of one level, under the question's: a model's own levels skip and start anywhere.
 * @param {Tokens.Heading} token
 */
function headingNode(token) {
  return h("h3", { "data-depth": token.depth }, ...inlineNodes(token.tokens));
}

/** @param {string | undefined} info */
function languageOf(info) {
  return (info ?? "").trim().split(/\s/)[0]?.toLowerCase().slice(0, 30) ?? "";
}

/**
 * A block of code with its language and a way to copy it.
 * @param {string} text
 * @param {string} language
 */
export function codeNode(text, language) {
  return h(
    "figure",
    { class: "code", "data-language": language },
    h(
      "figcaption",
      {},
      h("span", {}, language || "text"),
      button("Copy", "copy-code", { "aria-label": "Copy code" }),
    ),
    h("pre", { tabindex: 0 }, h("code", {}, text)),
  );
}

/**
 * @param {Tokens.List} token
 * @param {number} depth
 */
function listNode(token, depth) {
  const items = token.items.map((item) => itemNode(item, depth));
  const start = token.ordered && token.start !== 1 ? token.start : undefined;
  return token.ordered ? h("ol", { start }, ...items) : h("ul", {}, ...items);
}

/**
 * @param {Tokens.ListItem} item
 * @param {number} depth
 */
function itemNode(item, depth) {
  const children = nestedNodes(
    item.tokens.filter((token) => token.type !== "checkbox"),
    depth + 1,
  );
  if (!item.task) return h("li", {}, ...children);
  const mark = h("span", { "aria-hidden": "true" }, item.checked ? "☑ " : "☐ ");
  const said = item.checked ? "done: " : "to do: ";
  const label = h("span", { class: "visually-hidden" }, said);
  return h("li", { class: "task" }, mark, label, ...children);
}

/**
 * @param {string} source
 * @param {boolean} isBlock
 */
function formulaNode(source, isBlock) {
  const tag = isBlock ? "div" : "span";
  return h(tag, { class: "formula", "data-block": isBlock }, source);
}

/**
 * The nodes of what is inside a paragraph, heading or cell.
 * @param {Token[] | undefined} tokens
 * @param {number} [depth]
 * @returns {Node[]}
 */
export function inlineNodes(tokens, depth = 0) {
  return inside(tokens, PARAGRAPH_LIMIT).map((token) =>
    depth > MAX_DEPTH
      ? text(token.raw)
      : (INLINES[token.type] ?? rawNode)(/** @type {any} */ (token), depth),
  );
}

/** @type {Record<string, (token: any, depth: number) => Node>} */
const INLINES = {
  text: (token, depth) =>
    token.tokens
      ? h("span", {}, ...inlineNodes(token.tokens, depth + 1))
      : text(token.text),
  escape: (token) => text(token.text),
  strong: (token, depth) => h("strong", {}, ...inlineNodes(token.tokens, depth + 1)),
  em: (token, depth) => h("em", {}, ...inlineNodes(token.tokens, depth + 1)),
  del: (token, depth) => h("del", {}, ...inlineNodes(token.tokens, depth + 1)),
  codespan: (token) => h("code", {}, token.text),
  br: () => h("br"),
  link: (token, depth) => link(token.href, inlineNodes(token.tokens, depth + 1)),
  image: (token) => image(token.href, token.text),
  inlineMath: (token) => formulaNode(token.text, false),
};

/** @param {Token} token */
function rawNode(token) {
  return text(token.raw);
}

/** @param {string} value */
function text(value) {
  return document.createTextNode(value);
}

/**
 * A whole text at once, for what is short and finished.
 * @param {string} source
 */
export function markdownNodes(source) {
  return blockNodes(blocks(source));
}
