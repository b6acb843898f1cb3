/**
 * What was asked, and under it when, and what can be done with it.
 *
 * @import { Run } from "../../client/types.js"
 */

import { isLongQuestion, oneLine } from "../../words/format.js";
import { button, h, icon, iconButton, setText } from "../dom.js";
import { setTime, time } from "./footer.js";

const HEADING_CHARS = 80;

/** The question itself, with what stands under it. */
export class Question {
  #heading = h("h2", { class: "only-read" });
  #text = h("p", { class: "ask__text", dir: "auto" });
  #more = button("Show all of it", "unfold-question", { "aria-expanded": "false" });

  /** @param {...Node} line */
  constructor(...line) {
    this.line = h("div", { class: "ask__line" }, ...line);
    this.element = h(
      "div",
      { class: "ask" },
      this.#heading,
      this.#text,
      this.#more,
      this.line,
    );
  }

  /**
   * @param {string} heading
   * @param {string} text
   */
  show(heading, text) {
    setText(this.#heading, heading);
    setText(this.#text, text);
    const isLong = isLongQuestion(text);
    this.#more.hidden = !isLong;
    const isFolded = isLong && this.#more.ariaExpanded !== "true";
    this.#text.classList.toggle("is-folded", isFolded);
  }

  /** @param {boolean} isWaiting */
  setWaiting(isWaiting) {
    this.element.classList.toggle("ask--waits", isWaiting);
    this.line.classList.toggle("is-kept", isWaiting);
  }
}

/**
 * A long question is shown whole, or folded again.
 * @param {HTMLElement} pressed
 */
export function unfoldQuestion(pressed) {
  const isOpen = pressed.ariaExpanded !== "true";
  pressed.ariaExpanded = String(isOpen);
  setText(pressed, isOpen ? "Show less" : "Show all of it");
  const text = pressed.parentElement?.querySelector(".ask__text");
  text?.classList.toggle("is-folded", !isOpen);
  if (text && !isOpen) text.scrollTop = 0; // where the browser's search may have led
}

/** What a question waits for. */
export class WaitState {
  #words = h("span");
  element = h("span", { class: "ask__state" }, icon("icon-clock"), this.#words);

  /** @param {string} words */
  show(words) {
    this.element.hidden = words === "";
    setText(this.#words, words);
  }
}

const WAITING = {
  answer: "Sent when the answer above is done",
  place: "Waiting for a free place",
};

export class Ask {
  #when = time();
  #state = new WaitState();
  #link = iconButton("Copy link to this question", "icon-link", "link-run");
  #edit = iconButton("Edit this question and ask again", "icon-pencil", "edit");
  #cancel = button("Cancel", "withdraw");
  #question = new Question(
    this.#state.element,
    this.#when,
    this.#link,
    this.#edit,
    this.#cancel,
  );

  constructor() {
    this.#when.className = "when";
  }

  get element() {
    return this.#question.element;
  }

  /**
   * @param {Run} run
   * @param {number} now milliseconds
   * @param {"answer" | "place"} waitsFor what it waits for while it is queued
   */
  update(run, now, waitsFor) {
    const beginning = oneLine(run.prompt, HEADING_CHARS);
    this.#question.show(`Question ${run.run}: ${beginning}`, run.prompt);
    const isQueued = run.status === "queued";
    const isWithdrawn = run.reason === "withdrawn";
    this.#question.setWaiting(isQueued);
    this.#question.line.classList.toggle("is-kept", isQueued || isWithdrawn);
    this.#state.show(isWithdrawn ? "Cancelled" : isQueued ? WAITING[waitsFor] : "");
    this.#when.hidden = isQueued;
    setTime(this.#when, run.timestamp, now);
    this.#link.hidden = this.#edit.hidden = run.status !== "finished";
    this.#cancel.hidden = !isQueued;
  }
}
