/**
 * A message said but not yet accepted: shown where it will be, with what it waits for.
 *
 * @import { Line, OutboxItem } from "../../client/types.js"
 */

import { button, h } from "../dom.js";
import { Question, WaitState } from "./ask.js";

/** States of the line in which what is sent may arrive. */
const CONNECTED = new Set(["joining", "live", "doubt"]);

export class PendingView {
  #state = new WaitState();
  #again = button("Send again", "resend");
  #elsewhere = button("Ask in a new chat", "ask-elsewhere");
  #question = new Question(
    this.#state.element,
    this.#again,
    this.#elsewhere,
    button("Cancel", "withdraw-message"),
  );

  /** @param {string} clientId */
  constructor(clientId) {
    this.#question.setWaiting(true);
    this.element = h(
      "article",
      { class: "run is-pending", "data-client-id": clientId },
      this.#question.element,
    );
  }

  /**
   * @param {OutboxItem} item
   * @param {Line} line
   * @param {boolean} isDeleted the chat is no more
   */
  update(item, line, isDeleted) {
    this.#question.show("Message not sent yet", item.message);
    this.#state.show(
      isDeleted ? "Not sent: the chat was deleted" : wordsFor(item, line),
    );
    this.#elsewhere.hidden = !isDeleted;
    const isRefused = item.error !== undefined;
    this.#question.element.classList.toggle("ask--refused", isRefused);
    this.#again.hidden = !isRefused;
  }
}

/**
 * @param {OutboxItem} item
 * @param {Line} line
 */
function wordsFor({ error, delay }, { state }) {
  if (error) return `Not sent. ${error.message}`;
  if (state === "ended") return "Not sent";
  if (!CONNECTED.has(state)) return "Sent when the line is back";
  return delay ? `Waiting. ${delay.message}` : "Sending…";
}
