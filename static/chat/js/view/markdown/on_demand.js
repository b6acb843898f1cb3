/**
 * Code in colour and formulas set: their libraries load when first needed, and what is
 * shown meanwhile is the plain text.
 */

import { formula, highlighted } from "./purify.js";

const CODE_LIMIT = 30_000;
const FORMULA_LIMIT = 2_000;

/**
 * Colour a finished code block.
 * @param {HTMLElement} code
 * @param {string} language
 */
export async function highlight(code, language) {
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
 * Set a formula in place of its source.
 * @param {HTMLElement} element
 * @param {string} source
 * @param {boolean} isBlock
 */
export async function setFormula(element, source, isBlock) {
  if (source.length > FORMULA_LIMIT) return;
  try {
    const { default: katex } = await import("../../../vendor/katex.js");
    const html = katex.renderToString(source, {
      output: "mathml",
      displayMode: isBlock,
      strict: "ignore",
      trust: false,
      maxExpand: 200,
      maxSize: 20,
    });
    element.replaceChildren(formula(html));
  } catch {
    // No formula, or no library: the source is shown as it is.
  }
}
