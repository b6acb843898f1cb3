/**
 * What may open and close emphasis and strikethrough: CommonMark's rules, amended for
 * CJK text, where a marker between a letter and punctuation has no spaces around it
 * (`**强调。**然后`).
 *
 * The twin of chat/markdown/emphasis.py.
 */

import MarkdownIt from "../../../../vendor/markdown-it.js";
import {
  CJK,
  characterAt,
  characterBefore,
  PUNCTUATION,
  WHITESPACE,
} from "./characters.js";

export class StateInline extends MarkdownIt.StateInline {
  /**
   * @override
   * @param {number} start of a run of markers
   * @param {boolean} canSplitWord
   */
  scanDelims(start, canSplitWord) {
    const marker = this.src.charAt(start);
    let end = start + 1;
    while (end < this.posMax && this.src.charAt(end) === marker) end += 1;
    const before = neighbour(characterBefore(this.src, start));
    const after = neighbour(end < this.posMax ? characterAt(this.src, end) : "");
    const isLeft = flanks(after, before);
    const isRight = flanks(before, after);
    return {
      can_open: isLeft && (canSplitWord || !isRight || before.isPunctuation),
      can_close: isRight && (canSplitWord || !isLeft || after.isPunctuation),
      length: end - start,
    };
  }
}

/** @typedef {ReturnType<typeof neighbour>} Neighbour */

/** @param {string} character beside a run; "" where the text begins or ends */
function neighbour(character) {
  return {
    isSpace: character === "" || WHITESPACE.test(character),
    isPunctuation: PUNCTUATION.test(character),
    isCjk: CJK.test(character),
  };
}

/**
 * Does a run belong to the text on its inner side?
 * @param {Neighbour} inner
 * @param {Neighbour} outer
 */
function flanks(inner, outer) {
  if (inner.isSpace) return false;
  const isWord = !inner.isPunctuation || inner.isCjk;
  return isWord || outer.isSpace || outer.isPunctuation || outer.isCjk;
}
