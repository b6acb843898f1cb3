/**
 * Code in colour and formulas set: their libraries load when first needed, and what is
 * shown meanwhile is the plain text.
 *
 * @import { DomTree } from "../../../vendor/katex.js"
 */

import { byId } from "../dom.js";
import { keepSelection } from "../selection.js";
import { NodeEmitter } from "./code_nodes.js";
import { FORMULA_LIMIT } from "./grammar/formulas.js";

const CODE_LIMIT = 30_000;

/**
 * What a formula may cost before it is refused: tokens that TeX reads, its macros
 * expanded, in so many milliseconds; then elements, and how deep they lie in each other.
 * (KaTeX itself counts expansions alone, of which an honest `\\ne` takes five, and a bomb
 * one for a thousand tokens. A page with 600 roots in each other crashes.)
 */
const MAX_TOKENS = 12_000;
const MAX_TOKENS_MS = 300;
const MAX_NODES = 4_500;
const MAX_DEPTH = 320;
/** Of a formula that defines macros: with arguments, these can multiply its length. */
const DEFINING_LIMIT = 2_000;
const DEFINES = /\\(?:[egx]?def|(?:re|provide)?(?:new)?command)(?![A-Za-z])/;

/** Milliseconds of work after which something else gets its turn. */
const SLICE_MS = 8;

/** @type {(() => Promise<void>)[]} */
const due = [];

/**
 * Do it soon, but never so much at once that the page stands still.
 * @param {() => Promise<void>} job
 */
async function later(job) {
  due.push(job);
  if (due.length > 1) return;
  while (due.length > 0) {
    const end = performance.now() + SLICE_MS;
    while (due.length > 0 && performance.now() < end) {
      await due[0]?.();
      due.shift();
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
}

/**
 * Colour a finished code block.
 * @param {HTMLElement} code
 * @param {string} language
 */
export function highlight(code, language) {
  later(() => highlightNow(code, language));
}

/**
 * Set a formula in place of its source.
 * @param {HTMLElement} element
 * @param {string} source
 * @param {boolean} isBlock
 */
export function setFormula(element, source, isBlock) {
  later(() => setFormulaNow(element, source, isBlock));
}

/**
 * @param {HTMLElement} code
 * @param {string} language
 */
async function highlightNow(code, language) {
  const text = code.textContent ?? "";
  if (!language || text.length > CODE_LIMIT) return;
  try {
    const { default: hljs } = await import("../../../vendor/highlight.js");
    if (!hljs.getLanguage(language)) return;
    hljs.configure({ __emitter: NodeEmitter });
    const { _emitter } = hljs.highlight(text, { language, ignoreIllegals: true });
    const { root } = /** @type {NodeEmitter} */ (_emitter);
    keepSelection(code, () => code.replaceChildren(root));
  } catch {
    // Offline, say: plain code is fine.
  }
}

/**
 * KaTeX builds elements, never HTML, and sets their styles one by one, as the policy
 * allows.
 * @param {HTMLElement} element
 * @param {string} source
 * @param {boolean} isBlock
 */
async function setFormulaNow(element, source, isBlock) {
  const limit = DEFINES.test(source) ? DEFINING_LIMIT : FORMULA_LIMIT;
  if (source.length > limit) return;
  try {
    const { default: katex } = await import("../../../vendor/katex.js");
    await formulaStyle();
    const tree = katex.__renderToDomTree(source, {
      displayMode: isBlock,
      strict: "ignore",
      trust: false,
      maxExpand: Number.POSITIVE_INFINITY,
      maxSize: 20,
      macros: boundedMacros(),
    });
    measure(tree, { nodes: 0 }, 0);
    element.replaceChildren(tree.toNode());
  } catch {
    // No formula, or no library: the source is shown as it is.
  }
}

/**
 * @param {DomTree} node
 * @param {{ nodes: number }} count
 * @param {number} depth
 * @throws {RangeError} where it is too much
 */
function measure({ children = [] }, count, depth) {
  count.nodes += 1;
  if (count.nodes > MAX_NODES || depth > MAX_DEPTH) throw new RangeError("too large");
  for (const child of children) measure(child, count, depth + 1);
}

/**
 * Where a formula keeps the macros that it defines. KaTeX looks every token up here, so
 * here its work is counted.
 */
function boundedMacros() {
  const end = performance.now() + MAX_TOKENS_MS;
  let tokens = 0;
  /** @param {string} name */
  const isDefined = (name) => {
    tokens += 1;
    if (tokens > MAX_TOKENS || performance.now() > end) {
      throw new RangeError("The formula takes too long to set.");
    }
    return Object.hasOwn(macros, name);
  };
  const macros = Object.create({ hasOwnProperty: isDefined });
  return macros;
}

/** @type {Promise<unknown> | undefined} */
let styled;

/** The style sheet of formulas, which the page names and does not load. */
function formulaStyle() {
  styled ??= new Promise((resolve, reject) => {
    const sheet = /** @type {HTMLLinkElement} */ (byId("formula-style"));
    sheet.onload = resolve;
    sheet.onerror = reject;
    sheet.href = sheet.dataset.href ?? "";
  });
  return styled;
}
