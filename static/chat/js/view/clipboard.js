/**
 * The clipboard, also where browsers have none for pages: on plain http.
 */

import { h } from "./dom.js";

/**
 * Put a text on the clipboard. Focus and selection stay as they are.
 * @param {string} text
 * @returns {Promise<boolean>} whether the browser allowed it
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/**
 * Copy as people do: select, and press copy.
 * @param {string} text
 */
function copySelected(text) {
  const restore = keepSelection();
  const field = h("textarea", { class: "only-read", readonly: true, tabindex: -1 });
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  restore();
  return isCopied;
}

/** @returns {() => void} brings back what has the focus and is selected now */
function keepSelection() {
  const { activeElement } = document;
  const selection = document.getSelection();
  const ranges = Array.from({ length: selection?.rangeCount ?? 0 }, (_, n) =>
    selection?.getRangeAt(n).cloneRange(),
  );
  return () => {
    selection?.removeAllRanges();
    for (const range of ranges) if (range) selection?.addRange(range);
    if (activeElement instanceof HTMLElement) {
      activeElement.focus({ preventScroll: true });
    }
  };
}
