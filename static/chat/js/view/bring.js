/**
 * A chat from a file that was exported as JSON: chosen, brought, opened.
 *
 * @import { Sessions } from "../client/sessions.js"
 */

import { h } from "./dom.js";

/**
 * @param {Sessions} sessions
 * @param {(id: string) => void} open
 */
export function bringChat(sessions, open) {
  const accept = "application/json,.json";
  const input = h("input", { type: "file", accept, hidden: true, tabindex: -1 });
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    input.remove();
    const id = file ? await sessions.bring(file) : null;
    if (id) open(id);
  });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input); // Safari tells nothing of one that is nowhere
  input.click();
}
