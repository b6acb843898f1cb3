/**
 * Code in colour and formulas set: their libraries load when first needed, and what is
 * shown meanwhile is the plain text.
 */

import { byId, h } from "../dom.js";
import { highlighted } from "./purify.js";

const CODE_LIMIT = 30_000;
const FORMULA_LIMIT = 2_000;

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
    const { value } = hljs.highlight(text, { language, ignoreIllegals: true });
    code.replaceChildren(highlighted(value));
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
  if (source.length > FORMULA_LIMIT) return;
  const set = h("span");
  try {
    const { default: katex } = await import("../../../vendor/katex.js");
    await formulaStyle();
    katex.render(source, set, {
      displayMode: isBlock,
      strict: "ignore",
      trust: false,
      maxExpand: 200,
      maxSize: 20,
    });
    element.replaceChildren(...set.childNodes);
  } catch {
    // No formula, or no library: the source is shown as it is.
  }
}

/** @type {Promise<unknown> | undefined} */
let styled;

/** The style sheet of formulas, which the page names and does not load. */
function formulaStyle() {
  styled ??= new Promise((resolve, reject) => {
    const sheet = /** @type {HTMLLinkElement} */ (byId("formula-style"));
    sheet.onload = resolve;
    sheet.onerror = reject;
    sheet.disabled = false;
  });
  return styled;
}
