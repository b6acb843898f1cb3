/**
 * The one place where HTML becomes nodes: what the highlighter and the formula setter
 * write, never what a model wrote.
 */

import DOMPurify from "../../../vendor/dompurify.js";

/**
 * @param {string} html
 * @returns {DocumentFragment}
 */
export function highlighted(html) {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: ["span"],
    ALLOWED_ATTR: ["class"],
    RETURN_DOM_FRAGMENT: true,
  });
}

/**
 * Without its style attributes, which the policy would report even as they are parsed.
 * @param {string} html as KaTeX writes it: its quotes in text are escaped
 * @returns {DocumentFragment}
 */
export function formula(html) {
  return DOMPurify.sanitize(html.replaceAll(/ style="[^"]*"/g, ""), {
    USE_PROFILES: { mathMl: true },
    ADD_TAGS: ["semantics", "annotation"],
    FORBID_ATTR: ["style", "href"],
    RETURN_DOM_FRAGMENT: true,
  });
}
