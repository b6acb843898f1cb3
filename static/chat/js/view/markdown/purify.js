/**
 * The one place where HTML becomes nodes: what the highlighter writes, never what a model
 * wrote.
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
