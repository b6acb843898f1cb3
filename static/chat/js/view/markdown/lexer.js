/**
 * Markdown as tokens. Blocks are found at once; what is inside a paragraph or a cell is
 * read only when it is shown. Raw HTML is text, and addresses are only ever written
 * where they are used (`[a]: https://…` would change blocks that are long finished).
 *
 * @import { Token, TokenizerAndRendererExtension } from "../../../vendor/marked.js"
 */

import { Lexer, Marked } from "../../../vendor/marked.js";

/** @type {TokenizerAndRendererExtension} */
const BLOCK_MATH = {
  name: "blockMath",
  level: "block",
  start: (src) => startOf(src, /(?:^|\n)(?:\$\$|\\\[)/),
  tokenizer(src) {
    const match = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/.exec(src);
    if (!match) return undefined;
    return {
      type: "blockMath",
      raw: match[0],
      text: (match[1] ?? match[2] ?? "").trim(),
    };
  },
};

/** `$5 and $6` is money: no space inside the signs, no digit after them. */
const INLINE_MATH_AT =
  /^(?:\$\$([^$\n]+?)\$\$|\$(?!\s)([^$\n]*?[^\s\\$])\$(?!\d)|\\\(([^\n]+?)\\\))/;

/** @type {TokenizerAndRendererExtension} */
const INLINE_MATH = {
  name: "inlineMath",
  level: "inline",
  start: (src) => startOf(src, /\$|\\\(/),
  tokenizer(src) {
    const match = INLINE_MATH_AT.exec(src);
    if (!match) return undefined;
    const text = match[1] ?? match[2] ?? match[3] ?? "";
    return { type: "inlineMath", raw: match[0], text };
  },
};

/**
 * @param {string} src
 * @param {RegExp} pattern
 */
function startOf(src, pattern) {
  const at = src.search(pattern);
  return at < 0 ? undefined : at;
}

const marked = new Marked({ gfm: true, breaks: false });
marked.use({
  extensions: [BLOCK_MATH, INLINE_MATH],
  tokenizer: {
    def: () => undefined,
    html: () => undefined,
    tag: () => undefined,
  },
});

/** @type {WeakMap<Token[], string>} what is inside, unread */
const unread = new WeakMap();

/**
 * The blocks of `text`. The tokens inside them come from `inside`.
 * @param {string} text
 */
export function blocks(text) {
  const lexer = new Lexer(marked.defaults);
  const tokens = shallow(text, () => lexer.blockTokens(text, lexer.tokens));
  for (const { src, tokens: empty } of lexer.inlineQueue) unread.set(empty, src);
  return tokens;
}

/**
 * The tokens inside a paragraph, heading, cell …
 * @param {Token[] | undefined} tokens as `blocks` left them
 * @param {number} limit longer than this is not read but shown as it is
 * @returns {Token[]}
 */
export function inside(tokens, limit) {
  const src = tokens && unread.get(tokens);
  if (!tokens || src === undefined) return tokens ?? [];
  unread.delete(tokens);
  if (src.length > limit) tokens.push({ type: "text", raw: src, text: src });
  else tokens.push(...shallow(src, () => new Lexer(marked.defaults).inlineTokens(src)));
  return tokens;
}

/**
 * What `read` finds; or the text as it is, where it is nested (`> > > …`) deeper than
 * the reader, which calls itself for each level, can go.
 * @param {string} text
 * @param {() => Token[]} read
 * @returns {Token[]}
 */
function shallow(text, read) {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [{ type: "text", raw: text, text }];
  }
}
