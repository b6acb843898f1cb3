/**
 * Markdown as tokens, the same on both ends: CommonMark with tables, tasks, `~~strike~~`,
 * formulas and bare addresses. Raw HTML is text, and addresses are only ever written
 * where they are used (`[a]: https://…` would change blocks that are long finished).
 *
 * The twin of chat/markdown/grammar.py; tests/contract/markdown holds the two
 * together.
 *
 * @import { Token } from "../../../../vendor/markdown-it.js"
 */

import MarkdownIt from "../../../../vendor/markdown-it.js";
import { bareAddress, text } from "./addresses.js";
import { StateInline } from "./emphasis.js";
import { blockFormula, inlineFormula } from "./formulas.js";
import { findTasks, lineBreak, tooDeep, trimHeadings } from "./nesting.js";
import { paragraph } from "./paragraph.js";

/** A paragraph longer than this is shown as it is. */
const PARAGRAPH_LIMIT = 30_000;

/** Of blocks fewer are possible; of labels in labels (`[[[…`), so many are looked at. */
const MAX_NESTING = 45;

const markdown = newMarkdown();

function newMarkdown() {
  const md = new MarkdownIt({ html: false, maxNesting: MAX_NESTING });
  md.disable(["reference", "html_block", "html_inline", "lheading", "linkify"]);
  md.validateLink = () => true; // what is not safe is shown as what it is
  md.normalizeLinkText = (address) => address;
  const { block, inline } = md;
  const alt = ["paragraph", "reference", "blockquote", "list"];
  block.ruler.before("table", "too_deep", tooDeep);
  block.ruler.before("fence", "formula", blockFormula, { alt });
  block.ruler.at("paragraph", paragraph);
  inline.State = StateInline;
  inline.ruler.at("text", text);
  inline.ruler.after("text", "address", bareAddress);
  inline.ruler.before("escape", "formula", inlineFormula);
  inline.ruler.before("autolink", "line_break", lineBreak);
  return md;
}

/**
 * A text as `blocks` wants it: lines end in `\n`, also where Unicode's separators say so;
 * no NUL; and no byte order mark, which is nothing to be seen and no space to all.
 * @param {string} text
 */
export function normalized(text) {
  return /[\r\0\u2028\u2029\ufeff]/.test(text)
    ? text
        .replaceAll(/\r\n?|[\u2028\u2029]/g, "\n")
        .replaceAll("\0", "\ufffd")
        .replaceAll("\ufeff", "")
    : text;
}

/**
 * The tokens of all blocks; what is inside them is read by `inside`.
 * @param {string} source normalized
 * @param {boolean} isGrowing more of it will come
 * @returns {Token[]}
 */
export function blocks(source, isGrowing) {
  /** @type {Token[]} */
  const tokens = [];
  markdown.block.parse(source, markdown, { isGrowing }, tokens);
  findTasks(tokens);
  trimHeadings(tokens);
  return tokens;
}

/**
 * The tokens inside a paragraph, heading or cell; none if it is too long to be read.
 * @param {Token} inline
 * @param {boolean} isCell
 * @returns {Token[] | null}
 */
export function inside({ content }, isCell) {
  if (content.length > PARAGRAPH_LIMIT) return null;
  /** @type {Token[]} */
  const tokens = [];
  markdown.inline.parse(content, markdown, { isCell }, tokens);
  return tokens;
}

/**
 * Where the last block begins whose beginning no further text can change, as a line; 0:
 * there is none but the first.
 * @param {Token[]} tokens
 * @param {number} lines how many of the text are complete
 */
export function settledLine(tokens, lines) {
  const starts = tokens.filter((token) => token.level === 0 && token.nesting >= 0);
  const last = starts.findLast((token) => linesNeeded(token) <= lines);
  return last?.map?.[0] ?? 0;
}

/**
 * How many lines of the text decide that this block begins where it does.
 * @param {Token} token
 */
function linesNeeded({ type, map, meta }) {
  const [start, end] = map ?? [0, 0];
  if (type === "formula") return meta?.isOpen ? Number.POSITIVE_INFINITY : end;
  return type === "table_open" ? start + 2 : start + 1;
}
