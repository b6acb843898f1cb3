/**
 * Formulas: `$x$` and `\(x\)` in a line; `$$x$$` and `\[x\]` set apart, on lines of their
 * own or within a paragraph.
 *
 * While text still comes (`env.isGrowing`), a formula that nothing has closed yet goes
 * on to the end: to decide otherwise could break it for good. How long it may be is
 * bounded, so a stray `$$` does not hold up what follows for ever.
 *
 * The twin of chat/markdown/formulas.py.
 *
 * @import { StateBlock, StateInline } from "../../../../vendor/markdown-it.js"
 */

/** Characters between the delimiters. */
export const FORMULA_LIMIT = 10_000;

/** @type {Record<string, string>} */
const CLOSER = { $: "$", $$: "$$", "\\(": "\\)", "\\[": "\\]" };

/** @type {Record<string, RegExp>} by opener: its closer, and what else counts within */
const MARKS = {
  $: /\$|\\.|[`{}]/gs,
  $$: /\$\$|\\.|[`${}]/gs,
  "\\(": /\\.|[`${}]/gs,
  "\\[": /\\.|[`${}]/gs,
};
/** @type {Record<string, number>} */
const DEPTH = { "{": 1, "}": -1 };

const SPACE = /[ \t\n]/;
const BLANK_LINE = /\n[ \t]*\n/;
const FENCE = /[ \t]*(?:```|~~~)/y;

/** The formula is not closed where the text ends. */
const OPEN = -2;
/** There is no formula. */
const NONE = -1;

/**
 * The delimiter that begins at `at`, or "".
 * @param {string} src
 * @param {number} at
 */
function openerAt(src, at) {
  const pair = src.slice(at, at + 2);
  return pair in CLOSER ? pair : pair.startsWith("$") ? "$" : "";
}

/**
 * Where code was met before the end of a formula that began with `\(` or `\[`: from
 * anywhere in between the same would be found.
 * @type {WeakMap<StateInline | StateBlock, Record<string, number>>}
 */
const metCode = new WeakMap();

/**
 * What a formula is looked for in.
 * @typedef {object} Text
 * @property {StateInline | StateBlock} state
 * @property {number} end where the text ends
 * @property {(at: number) => boolean} isCode does a code span begin at these backticks?
 * @property {boolean} mayGrow more text may come behind `end`
 */

/**
 * Where the content of a formula ends: at its closing delimiter.
 * @param {Text} text
 * @param {number} start of the content
 * @param {string} opener
 * @returns {number} a place, OPEN or NONE
 */
function contentEnd(text, start, opener) {
  const last = Math.min(text.end, start + FORMULA_LIMIT);
  const missing = text.mayGrow && last === text.end ? OPEN : NONE;
  if (isHopeless(text, start, opener)) return NONE;
  for (const { mark, index, depth } of marksIn(text, start, last, opener)) {
    if (mark === CLOSER[opener]) return index;
    if (isNoFormula(text, opener, mark, index, depth)) return NONE;
  }
  return missing;
}

/**
 * What counts in a formula, and how deep in braces it stands.
 * @param {Text} text
 * @param {number} start
 * @param {number} last where a mark may begin
 * @param {string} opener
 */
function* marksIn({ state, end }, start, last, opener) {
  const marks = new RegExp(/** @type {RegExp} */ (MARKS[opener]));
  marks.lastIndex = start;
  let depth = 0;
  for (let match = marks.exec(state.src); match; match = marks.exec(state.src)) {
    const { 0: mark, index } = match;
    if (index > last || marks.lastIndex > end) return;
    depth += DEPTH[mark] ?? 0;
    yield { mark, index, depth };
  }
}

/**
 * Is there no closing delimiter, nor will there be, or code before it?
 * @param {Text} text
 * @param {number} start
 * @param {string} opener
 */
function isHopeless({ state, end, mayGrow }, start, opener) {
  if (start < (metCode.get(state)?.[opener] ?? 0)) return true;
  const closer = /** @type {string} */ (CLOSER[opener]);
  if (mayGrow && end - start <= FORMULA_LIMIT) return false;
  const last = Math.min(end, start + FORMULA_LIMIT + closer.length);
  return !state.src.slice(start, last).includes(closer);
}

/**
 * Can no formula hold this? Code it cannot, nor a single `$`, unless in braces.
 * @param {Text} text
 * @param {string} opener
 * @param {string} mark
 * @param {number} at
 * @param {number} depth
 */
function isNoFormula({ state, end, isCode, mayGrow }, opener, mark, at, depth) {
  // At the very end it may be half of a `$$`.
  if (mark === "$") return depth < 1 && !(mayGrow && at + 1 === end);
  if (mark !== "`" || !isCode(at)) return false;
  // In braces a `$` may pass, so for dollars it matters where one begins.
  if (!opener.startsWith("$")) {
    metCode.set(state, { ...metCode.get(state), [opener]: at });
  }
  return true;
}

/**
 * Is this the end of money rather than of a formula? (`$5 and $6`)
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function isMoney(src, start, end) {
  const { [start]: first = "", [end - 1]: last = "", [end + 1]: next = "" } = src;
  return SPACE.test(first) || SPACE.test(last) || /[0-9]/.test(next);
}

/**
 * A formula within a paragraph.
 * @param {StateInline} state
 * @param {boolean} silent
 */
export function inlineFormula(state, silent) {
  const { src, pos } = state;
  const opener = openerAt(src, pos);
  if (!opener) return false;
  const start = pos + opener.length;
  const end = formulaEnd(state, start, opener);
  if (!isFormula(src, start, end, opener)) {
    // `$$` is not an empty formula of two single signs.
    return opener === "$$" && skip(state, opener, silent);
  }
  if (!silent) pushFormula(state, src.slice(start, end), isDisplay(opener));
  state.pos = end + opener.length;
  return true;
}

/**
 * @param {string} src
 * @param {number} start
 * @param {number} end
 * @param {string} opener
 */
function isFormula(src, start, end, opener) {
  if (end <= start || isBlank(src, start, end)) return false;
  return opener !== "$" || !isMoney(src, start, end);
}

/**
 * @param {StateInline} state
 * @param {string} text
 * @param {boolean} silent
 */
function skip(state, text, silent) {
  if (!silent) state.pending += text;
  state.pos = Math.min(state.pos + text.length, state.posMax);
  return true;
}

/** @param {string} opener */
function isDisplay(opener) {
  return opener === "$$" || opener === "\\[";
}

/**
 * @param {StateInline | StateBlock} state
 * @param {string} source
 * @param {boolean} isDisplay
 * @param {boolean} [isOpen]
 */
function pushFormula(state, source, isDisplay, isOpen = false) {
  const token = state.push("formula", "", 0);
  token.content = trimmed(source);
  token.meta = { isDisplay, isOpen };
  return token;
}

/** @type {WeakMap<StateInline, Set<number>>} */
const codeSpans = new WeakMap();

/**
 * @param {StateInline} state
 * @param {number} start
 * @param {string} opener
 */
function formulaEnd(state, start, opener) {
  const spans = codeSpans.get(state) ?? codeSpansOf(state.src);
  codeSpans.set(state, spans);
  const isCode = (/** @type {number} */ at) => spans.has(at);
  return contentEnd(
    { state, end: state.posMax, isCode, mayGrow: false },
    start,
    opener,
  );
}

/**
 * Where code spans can begin: at backticks that as many others follow.
 * @param {string} src
 */
function codeSpansOf(src) {
  const runs = [...src.matchAll(/`+/g)];
  const lengths = new Set();
  const found = new Set();
  for (const { 0: run, index } of runs.reverse()) {
    if (lengths.has(run.length)) found.add(index);
    lengths.add(run.length);
  }
  return /** @type {Set<number>} */ (found);
}

/**
 * A formula on lines of its own.
 * @param {StateBlock} state
 * @param {number} startLine
 * @param {number} endLine
 * @param {boolean} silent
 */
export function blockFormula(state, startLine, endLine, silent) {
  const indent = nth(state.sCount, startLine);
  if (indent - state.blkIndent >= 4) return false;
  const begin = nth(state.bMarks, startLine) + nth(state.tShift, startLine);
  const opener = openerAt(state.src, begin);
  if (!isDisplay(opener)) return false;
  const found = formulaLines(state, startLine, begin, endLine);
  if (!found || !endsItsLine(state, found)) return false;
  if (silent) return true;
  const { line, isOpen } = found;
  const text = trimmed(state.getLines(startLine, line + 1, indent, false));
  const source = text.slice(opener.length, isOpen ? undefined : -opener.length);
  const token = pushFormula(state, source, true, isOpen);
  token.block = true;
  token.map = [startLine, line + 1];
  state.line = line + 1;
  return true;
}

/**
 * @param {StateBlock} state
 * @param {Found} found
 */
function endsItsLine({ src, eMarks }, { line, end, isOpen }) {
  return isOpen || isBlank(src, end, nth(eMarks, line));
}

/**
 * The end of a formula that is set apart.
 * @typedef {object} Found
 * @property {number} line its last line
 * @property {number} end behind its closing delimiter
 * @property {boolean} isOpen the text ends before the formula does
 */

/**
 * Where a formula ends that begins at `begin` in a line. Its lines belong to the same
 * quotation or item of a list; no fence is among them, and no blank line, unless its
 * opening delimiter has its line to itself.
 * @param {StateBlock} state
 * @param {number} startLine
 * @param {number} begin
 * @param {number} endLine
 * @returns {Found | null}
 */
export function formulaLines(state, startLine, begin, endLine) {
  const { src, bMarks, tShift, eMarks } = state;
  const opener = openerAt(src, begin);
  const start = begin + opener.length;
  const isFirst = begin === nth(bMarks, startLine) + nth(tShift, startLine);
  const isAlone = isFirst && isBlank(src, start, nth(eMarks, startLine));
  const text = textOf(state, start, isAlone);
  const end = contentEnd(text, start, opener);
  const isOpen = end === OPEN;
  if (end === NONE || (!isOpen && isBlank(src, start, end))) return null;
  const lastEnd = isOpen ? nth(eMarks, bMarks.length - 2) : end;
  const line = lineOf(state, lastEnd, startLine, endLine, isAlone);
  return line < 0
    ? null
    : { line, end: lastEnd + (isOpen ? 0 : opener.length), isOpen };
}

/**
 * In what the end of a formula is to be looked for.
 * @param {StateBlock} state
 * @param {number} start
 * @param {boolean} mayHaveBlankLines
 * @returns {Text}
 */
function textOf(state, start, mayHaveBlankLines) {
  const { src } = state;
  const mayGrow = state.env.isGrowing === true;
  const isCode = (/** @type {number} */ at) => isCodeSpanInLine(src, at, mayGrow);
  const near = mayHaveBlankLines ? "" : src.slice(start, start + FORMULA_LIMIT);
  const blank = near.search(BLANK_LINE);
  return blank < 0
    ? { state, end: src.length, isCode, mayGrow }
    : { state, end: start + blank, isCode, mayGrow: false };
}

/**
 * The line of a formula's end; -1: it is not there that the formula could reach.
 * @param {StateBlock} state
 * @param {number} end
 * @param {number} startLine
 * @param {number} endLine
 * @param {boolean} mayHaveBlankLines
 */
function lineOf(state, end, startLine, endLine, mayHaveBlankLines) {
  let line = startLine;
  while (nth(state.eMarks, line) < end) {
    line += 1;
    if (line >= endLine) return -1;
    const isOutside = state.isEmpty(line)
      ? !mayHaveBlankLines
      : nth(state.sCount, line) < state.blkIndent || isFence(state, line);
    if (isOutside) return -1;
  }
  return line;
}

/**
 * @param {StateBlock} state
 * @param {number} line
 */
function isFence(state, line) {
  FENCE.lastIndex = nth(state.bMarks, line);
  return FENCE.test(state.src);
}

/**
 * Does a code span begin here that ends in the same line? One that does not could be
 * closed by text that is not there yet; as could one in a line that is not complete.
 * @param {string} src
 * @param {number} at
 * @param {boolean} mayGrow
 */
function isCodeSpanInLine(src, at, mayGrow) {
  const lineEnd = src.indexOf("\n", at);
  if (src.charAt(at - 1) === "`" || (mayGrow && lineEnd < 0)) return false;
  return codeSpansOf(src.slice(at, lineEnd < 0 ? undefined : lineEnd)).has(0);
}

/**
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function isBlank(src, start, end) {
  return trimmed(src.slice(start, end)) === "";
}

/**
 * Without spaces and line ends around it. (`trim` takes more, and other languages other.)
 * @param {string} text
 */
function trimmed(text) {
  return text.replace(/^[ \t\n]+/, "").replace(/[ \t\n]+$/, "");
}

/**
 * @param {number[]} numbers
 * @param {number} index of one that is there
 */
export function nth(numbers, index) {
  return /** @type {number} */ (numbers[index]);
}
