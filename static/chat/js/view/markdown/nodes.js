/**
 * Markdown's tokens as elements, built one by one: no HTML is ever parsed. Code and
 * formulas are written from left to right, whatever the text around them.
 *
 * The twin of chat/markdown/html.py.
 *
 * @import { Token } from "../../../vendor/markdown-it.js"
 */

import { h, iconButton } from "../dom.js";
import { blocks, inside, normalized } from "./grammar/grammar.js";
import { image, link } from "./links.js";
import { tableNode } from "./table.js";

/** Emphasis within emphasis; markers deeper than this are shown as they are. */
const MAX_DEPTH = 24;
const EMPHASIS = /^(?:strong|em|s)_/;
const LANGUAGE_CHARS = 30;

/** Tokens, read one after the other. */
export class Reader {
  #tokens;
  #at = 0;

  /** @param {Token[]} tokens */
  constructor(tokens) {
    this.#tokens = tokens;
  }

  next() {
    this.#at += 1;
    return this.#tokens[this.#at - 1];
  }

  /**
   * The tokens up to the one that closes what was opened last; that one is skipped.
   */
  untilClosed() {
    const start = this.#at;
    for (let depth = 1; depth > 0; ) depth += this.next()?.nesting ?? -depth;
    return this.#tokens.slice(start, this.#at - 1);
  }
}

/**
 * The elements of some blocks. Each outermost one is written in the direction of its
 * first letter; what is inside follows it.
 * @param {Token[]} tokens
 * @returns {Node[]}
 */
export function blockNodes(tokens) {
  const nodes = nestedNodes(tokens);
  for (const node of nodes) {
    if (node instanceof HTMLElement && !node.matches(".code, .formula, hr")) {
      node.dir = "auto";
    }
  }
  return nodes;
}

/**
 * @param {Token[]} tokens
 * @returns {Node[]}
 */
function nestedNodes(tokens) {
  const reader = new Reader(tokens);
  const nodes = [];
  for (let token = reader.next(); token; token = reader.next()) {
    const content = token.nesting > 0 ? reader.untilClosed() : [];
    nodes.push(...(BLOCKS[token.type]?.(token, content) ?? []));
  }
  return nodes;
}

/** @type {Record<string, (token: Token, content: Token[]) => Node[]>} */
const BLOCKS = {
  hr: () => [h("hr")],
  inline: (token) => inlineNodes(token),
  paragraph_open: (token, content) =>
    token.hidden ? nestedNodes(content) : [h("p", {}, ...nestedNodes(content))],
  heading_open: (token, content) => [headingNode(token, content)],
  code_block: (token) => [codeNode(withoutLastLineEnd(token.content), "")],
  fence: (token) => [
    codeNode(withoutLastLineEnd(token.content), languageOf(token.info)),
  ],
  formula: (token) => [formulaNode("div", token)],
  blockquote_open: (_, content) => [h("blockquote", {}, ...nestedNodes(content))],
  bullet_list_open: (_, content) => [h("ul", {}, ...nestedNodes(content))],
  ordered_list_open: (token, content) => [
    h("ol", { start: token.attrGet("start") }, ...nestedNodes(content)),
  ],
  list_item_open: (token, content) => [itemNode(token, content)],
  table_open: (_, content) => [tableNode(content, inlineNodes)],
};

/**
 * All of one level, under the question's: a model's own levels skip and start anywhere.
 * @param {Token} token
 * @param {Token[]} content
 */
function headingNode({ tag }, content) {
  return h("h3", { "data-depth": tag.slice(1) }, ...nestedNodes(content));
}

/** @param {string} info */
function languageOf(info) {
  const word = /[^ \t]+/.exec(info)?.[0] ?? "";
  return [...word.toLowerCase()].slice(0, LANGUAGE_CHARS).join("");
}

/** @param {string} text */
function withoutLastLineEnd(text) {
  return text.endsWith("\n") ? text.slice(0, -1) : text;
}

/**
 * A block of code with its language, and what can be done with it.
 * @param {string} text
 * @param {string} language
 */
export function codeNode(text, language) {
  return h(
    "figure",
    { class: "code", "data-language": language, dir: "ltr" },
    h(
      "figcaption",
      {},
      h("span", {}, language || "text"),
      iconButton("Wrap lines", "icon-wrap-text", "wrap-code", {
        "aria-pressed": "false",
      }),
      iconButton("Download code", "icon-download", "download-code"),
      iconButton("Copy code", "icon-copy", "copy-code"),
    ),
    h("pre", { tabindex: 0 }, h("code", {}, text)),
  );
}

/**
 * @param {Token} token
 * @param {Token[]} content
 */
function itemNode({ meta }, content) {
  const children = nestedNodes(content);
  if (!meta) return h("li", {}, ...children);
  const mark = h("span", { class: "task__box", "data-done": meta.isDone === true });
  const said = meta.isDone ? "done: " : "to do: ";
  const label = h("span", { class: "only-read" }, said);
  return h("li", { class: "task" }, mark, label, ...children);
}

/**
 * @param {"div" | "span"} tag
 * @param {Token} token
 */
function formulaNode(tag, { content, meta }) {
  const isBlock = meta?.isDisplay === true;
  return h(tag, { class: "formula", "data-block": isBlock, dir: "ltr" }, content);
}

/**
 * The nodes of what is inside a paragraph, heading or cell.
 * @param {Token} token
 * @param {boolean} [isCell]
 * @returns {Node[]}
 */
export function inlineNodes(token, isCell = false) {
  const tokens = inside(token, isCell);
  if (tokens) return inlinesOf(tokens, 0);
  return [h("span", { class: "is-plain" }, token.content)];
}

/**
 * @param {Token[]} tokens
 * @param {number} depth
 * @returns {Node[]}
 */
function inlinesOf(tokens, depth) {
  const reader = new Reader(tokens);
  /** @type {Node[]} */
  const nodes = [];
  for (let token = reader.next(); token; token = reader.next()) {
    if (depth >= MAX_DEPTH && EMPHASIS.test(token.type)) {
      nodes.push(textNode(token.markup));
      continue;
    }
    const content = token.nesting > 0 ? reader.untilClosed() : [];
    nodes.push(...(INLINES[token.type] ?? textOf)(token, content, depth + 1));
  }
  return joined(nodes);
}

/** @typedef {(token: Token, content: Token[], depth: number) => Node[]} Inline */

/** @type {Inline} */
const textOf = (token) => [textNode(token.content)];
/** @type {Inline} */
const lineBreak = () => [h("br"), textNode("\n")];

/** @type {Record<string, Inline>} */
const INLINES = {
  strong_open: (_, content, depth) => [h("strong", {}, ...inlinesOf(content, depth))],
  em_open: (_, content, depth) => [h("em", {}, ...inlinesOf(content, depth))],
  s_open: (_, content, depth) => [h("del", {}, ...inlinesOf(content, depth))],
  code_inline: (token) => [h("code", { dir: "ltr" }, token.content)],
  softbreak: lineBreak,
  hardbreak: lineBreak,
  formula: (token) => [formulaNode("span", token)],
  image: (token) => [
    image(String(token.attrGet("src") ?? ""), saidBy(token.children ?? [])),
  ],
  link_open: (token, content, depth) => {
    const address = String(token.attrGet("href") ?? "");
    return [link(address, inlinesOf(content, depth), saidBy(content))];
  },
};

/**
 * What some tokens say, without how it looks.
 * @param {Token[]} tokens
 * @returns {string}
 */
function saidBy(tokens) {
  return tokens
    .map(({ type, content, children }) => {
      if (type === "image") return saidBy(children ?? []);
      return type.endsWith("break") ? "\n" : content;
    })
    .join("");
}

/** @param {string} value */
function textNode(value) {
  return document.createTextNode(value);
}

/**
 * Neighbouring texts as one, empty ones left out.
 * @param {Node[]} nodes
 */
function joined(nodes) {
  /** @type {Node[]} */
  const found = [];
  for (const node of nodes) {
    const last = found.at(-1);
    if (!(node instanceof Text)) found.push(node);
    else if (last instanceof Text) last.appendData(node.data);
    else if (node.data !== "") found.push(node);
  }
  return found;
}

/**
 * A whole text at once, for what is short and finished.
 * @param {string} source
 */
export function markdownNodes(source) {
  return blockNodes(blocks(normalized(source), false));
}
