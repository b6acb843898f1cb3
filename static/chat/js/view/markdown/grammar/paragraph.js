/**
 * Paragraphs, and headings that are underlined: CommonMark's rules, but a line within a
 * formula is nothing else, even if it looks like an item of a list or an underline.
 *
 * The twin of chat/markdown/paragraph.py.
 *
 * @import { StateBlock } from "../../../../vendor/markdown-it.js"
 */

import { formulaLines, nth } from "./formulas.js";

const UNDERLINE = /(?:(=+)|-+)[ \t]*$/y;
const OPENER = /\\[[(]|\$\$/;
/** What a formula over several lines begins with, and what hides such. */
const MARK = /\\[[(]|\$\$|\\.|(`+)/gs;

/**
 * @param {StateBlock} state
 * @param {number} startLine
 * @param {number} endLine
 */
export function paragraph(state, startLine, endLine) {
  const { parentType } = state;
  state.parentType = "paragraph";
  const { line, underline } = lastLine(state, startLine, endLine);
  state.parentType = parentType;
  const content = state.getLines(startLine, line, state.blkIndent, false);
  state.line = underline ? line + 1 : line;
  push(state, content, [startLine, state.line], underline);
  return true;
}

/**
 * @param {StateBlock} state
 * @param {string} content
 * @param {[number, number]} map
 * @param {number} underline
 */
function push(state, content, map, underline) {
  const [type, tag] = underline ? ["heading", `h${underline}`] : ["paragraph", "p"];
  state.push(`${type}_open`, tag, 1).map = map;
  const token = state.push("inline", "", 0);
  token.content = state.md.utils.asciiTrim(content);
  token.map = map;
  token.children = [];
  state.push(`${type}_close`, tag, -1);
}

/**
 * The line after the last one; and if that is an underline, of which level.
 * @param {StateBlock} state
 * @param {number} startLine
 * @param {number} endLine
 */
function lastLine(state, startLine, endLine) {
  const rules = state.md.block.ruler.getRules("paragraph");
  const formulas = new Formulas(state, startLine, endLine);
  let line = startLine + 1;
  for (; line < endLine && !state.isEmpty(line); line += 1) {
    if (formulas.reach(line) || isCertain(state, line)) continue;
    const underline = underlineOf(state, line);
    if (underline || rules.some((rule) => rule(state, line, endLine, true))) {
      return { line, underline };
    }
  }
  return { line, underline: 0 };
}

/**
 * Does the line belong to the paragraph in any case? Code would be indented so, but not
 * right after text; and of a line that is indented by less than nothing a quotation has
 * found so already.
 * @param {StateBlock} state
 * @param {number} line
 */
function isCertain({ sCount, blkIndent }, line) {
  const indent = nth(sCount, line);
  return indent < 0 || indent - blkIndent > 3;
}

/**
 * @param {StateBlock} state
 * @param {number} line
 */
function underlineOf({ src, bMarks, tShift, eMarks, sCount, blkIndent }, line) {
  if (nth(sCount, line) < blkIndent) return 0;
  UNDERLINE.lastIndex = 0;
  const match = UNDERLINE.exec(
    src.slice(nth(bMarks, line) + nth(tShift, line), nth(eMarks, line)),
  );
  if (!match) return 0;
  return match[1] ? 1 : 2;
}

/** The formulas of a paragraph that go on over its lines, found as it is read. */
class Formulas {
  #state;
  #endLine;
  #line;
  #at;
  /** The lines before this one are within a formula. */
  #reached = 0;

  /**
   * @param {StateBlock} state
   * @param {number} startLine
   * @param {number} endLine
   */
  constructor(state, startLine, endLine) {
    this.#state = state;
    this.#line = startLine;
    this.#endLine = endLine;
    this.#at = nth(state.bMarks, startLine) + nth(state.tShift, startLine);
  }

  /**
   * Does one reach this line from those above?
   * @param {number} line
   */
  reach(line) {
    while (this.#line < line) this.#readLine();
    return line < this.#reached && !this.#isOutside(line);
  }

  /**
   * A lazy line belongs to the paragraph, but not to the formula.
   * @param {number} line
   */
  #isOutside(line) {
    return nth(this.#state.sCount, line) < this.#state.blkIndent;
  }

  #readLine() {
    const { src, eMarks } = this.#state;
    const end = nth(eMarks, this.#line);
    const hasFormula = OPENER.test(src.slice(this.#at, end));
    MARK.lastIndex = hasFormula ? this.#at : end;
    for (let match = MARK.exec(src); match; match = MARK.exec(src)) {
      if (match.index >= end) break;
      const found = this.#formulaAt(match);
      MARK.lastIndex = found?.end ?? behindCode(src, match, end);
      if (found && found.line > this.#line) return this.#jump(found);
    }
    this.#goOn();
  }

  /** @param {{ line: number, end: number }} found a formula's end in another line */
  #jump({ line, end }) {
    this.#line = line;
    this.#reached = line + 1;
    this.#at = end;
  }

  #goOn() {
    const { bMarks, tShift } = this.#state;
    this.#line += 1;
    this.#at = nth(bMarks, this.#line) + nth(tShift, this.#line);
  }

  /** @param {RegExpExecArray} match */
  #formulaAt({ 0: mark, index }) {
    if (mark.length !== 2 || !/^(?:\$\$|\\[[(])$/.test(mark)) return null;
    return formulaLines(this.#state, this.#line, index, this.#endLine);
  }
}

/**
 * Behind the code span that a match begins, if it ends in its line; else behind it.
 * @param {string} src
 * @param {RegExpExecArray} match
 * @param {number} lineEnd
 */
function behindCode(src, { 0: mark, 1: ticks, index }, lineEnd) {
  const start = index + mark.length;
  if (!ticks) return start;
  for (const { 0: run, index: at } of src.slice(start, lineEnd).matchAll(/`+/g)) {
    if (run.length === ticks.length) return start + at + run.length;
  }
  return start;
}
