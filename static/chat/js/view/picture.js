/**
 * A picture as large as the window, to look at and to put away again.
 */

import { h } from "./dom.js";

/**
 * @param {HTMLElement} pressed
 */
export function enlarge(pressed) {
  if (!(pressed instanceof HTMLImageElement)) return;
  const { src, alt } = pressed;
  const close = h(
    "button",
    { type: "button", "aria-label": "Close" },
    h("img", { src, alt }),
  );
  const dialog = h(
    "dialog",
    { class: "enlarged", "aria-label": alt || "Picture" },
    close,
  );
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    pressed.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * A picture is no button: what Enter and Space do to one, it must be taught.
 * @param {HTMLElement} root
 */
export function pressPicturesByKey(root) {
  root.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (!(target instanceof HTMLImageElement) || ![" ", "Enter"].includes(key)) return;
    event.preventDefault();
    target.click();
  });
}
