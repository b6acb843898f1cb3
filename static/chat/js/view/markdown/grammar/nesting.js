/**
 * What is bounded, and what is found, in blocks within blocks.
 *
 * The twin of chat/markdown/nesting.py.
 *
 * @import { StateBlock, StateInline, Token } from "../../../../vendor/markdown-it.js"
 */

import { WHITESPACE } from "./characters.js";
import { paragraph } from "./paragraph.js";

/** Of tokens: a quotation is one level, a list two. Markers beyond it are text. */
const DEEPEST = 40;

const TASK = /^\[([ xX])\][ \t\n]+(?=[^ \t\n])/;
const EDGE = new RegExp(`^${WHITESPACE.source}+`);
const OTHER_EDGE = new RegExp(`${WHITESPACE.source}+$`);
const LINE_BREAK = /<br[ \t]*\/?>/iuy;

/**
 * What lies deeper than can be read and shown is a paragraph.
 * @param {StateBlock} state
 * @param {number} startLine
 * @param {number} endLine
 * @param {boolean} silent
 */
export function tooDeep(state, startLine, endLine, silent) {
  return state.level >= DEEPEST && !silent && paragraph(state, startLine, endLine);
}

/**
 * Items of lists that begin with `[ ]` or `[x]` are tasks: `meta.isDone` says which.
 * @param {Token[]} tokens
 */
export function findTasks(tokens) {
  tokens.forEach((item, index) => {
    const { [index + 1]: paragraph, [index + 2]: inline } = tokens;
    if (item.type !== "list_item_open" || paragraph?.type !== "paragraph_open") return;
    const match = TASK.exec(inline?.content ?? "");
    if (!match || !inline) return;
    item.meta = { isDone: match[1] !== " " };
    inline.content = inline.content.slice(match[0].length);
  });
}

/**
 * Headings and cells without spaces of any kind around them, as the other end has them.
 * @param {Token[]} tokens
 */
export function trimHeadings(tokens) {
  tokens.forEach((token, index) => {
    const before = tokens[index - 1]?.type ?? "";
    if (token.type !== "inline" || !/^(?:heading|t[hd])_open$/.test(before)) return;
    token.content = token.content.replace(EDGE, "").replace(OTHER_EDGE, "");
  });
}

/**
 * `<br>` breaks a line in a table's cell, where there is no other way.
 * @param {StateInline} state
 * @param {boolean} silent
 */
export function lineBreak(state, silent) {
  if (!state.env.isCell) return false;
  LINE_BREAK.lastIndex = state.pos;
  const match = LINE_BREAK.exec(state.src);
  if (!match) return false;
  if (!silent) state.push("softbreak", "br", 0);
  state.pos += match[0].length;
  return true;
}
