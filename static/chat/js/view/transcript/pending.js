/**
 * A message said but not yet accepted: shown where it will be, with what it waits for.
 *
 * @import { Line, OutboxItem } from "../../client/types.js"
 */

import { button, h, setText } from "../dom.js";

/** States of the line in which what is sent may arrive. */
const CONNECTED = new Set(["joining", "live", "doubt"]);

export class PendingView {
  #text = h("p", { class: "prompt__text", dir: "auto" });
  #state = h("span", { class: "run__state" });
  #again = button("Send again", "resend");

  /** @param {string} clientId */
  constructor(clientId) {
    const tools = h(
      "span",
      { class: "run__tools" },
      this.#again,
      button("Withdraw", "withdraw-message"),
    );
    const heading = h("h2", { class: "visually-hidden" }, "Message not sent yet");
    this.element = h(
      "article",
      { class: "run is-pending", "data-client-id": clientId },
      h("div", { class: "prompt" }, heading, this.#text),
      h(
        "footer",
        { class: "run__foot" },
        h("div", { class: "run__line" }, this.#state, tools),
      ),
    );
  }

  /**
   * @param {OutboxItem} item
   * @param {Line} line
   */
  update(item, line) {
    setText(this.#text, item.message);
    setText(this.#state, wordsFor(item, line));
    this.element.classList.toggle("is-refused", item.error !== undefined);
    this.#again.hidden = item.error === undefined;
  }
}

/**
 * @param {OutboxItem} item
 * @param {Line} line
 */
function wordsFor({ error, delay }, { state }) {
  if (error) return `Not sent. ${error.message}`;
  if (state === "ended") return "Not sent";
  if (!CONNECTED.has(state)) return "Waiting for connection";
  return delay ? `Waiting. ${delay.message}` : "Sending…";
}
