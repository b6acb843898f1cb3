/**
 * The end of a run: what went wrong, what it took, and what can be done now.
 *
 * @import { Run, Step } from "../../client/types.js"
 */

import { clockTime, duration } from "../../words/format.js";
import { faultOf } from "../../words/summary.js";
import { endOf } from "../../words/work.js";
import { button, h, iconButton, setText } from "../dom.js";
import { markOf, markStep } from "./card.js";

/** Something went wrong; what was written stays, and there is a way on. */
export class Fault {
  #name = h("p", { class: "fault__name" });
  #text = h("p", { class: "fault__text", dir: "auto" });
  #button = button("Continue", "retry", { class: "btn" });

  constructor() {
    this.element = h(
      "section",
      { class: "fault", "data-kind": "error" },
      markOf("error"),
      this.#name,
      this.#text,
      this.#button,
    );
  }

  /**
   * @param {{ name: string, text: string, way: string }} fault
   * @param {Step | undefined} step that says the same
   * @param {number} run
   */
  update({ name, text, way }, step, run) {
    if (step) markStep(step, this.element, run);
    setText(this.#name, name);
    setText(this.#text, text);
    setText(this.#button, way);
    this.#button.hidden = way === "";
  }
}

export class Acts {
  #copy = iconButton("Copy answer", "icon-copy", "copy-answer");
  #retry = iconButton("Try again", "icon-rotate-ccw", "retry");
  #go = button("Continue", "retry", { class: "btn" });
  #when = time();
  #took = h("span");
  #tokens = h("span", { class: "wide-only" });

  constructor() {
    const facts = h(
      "span",
      { class: "acts__facts when" },
      this.#when,
      this.#took,
      this.#tokens,
    );
    this.element = h(
      "div",
      { class: "acts" },
      this.#copy,
      this.#retry,
      this.#go,
      facts,
    );
  }

  /**
   * @param {Run} run
   * @param {number} now milliseconds
   */
  update(run, now) {
    this.element.hidden = run.status !== "finished" || run.reason === "withdrawn";
    if (this.element.hidden) return;
    const isStopped = run.reason === "stopped";
    this.#copy.hidden = !run.steps.some((step) => step.type === "final_answer");
    this.#retry.hidden = isStopped || faultOf(run) !== null;
    this.#go.hidden = !isStopped;
    setTime(this.#when, endOf(run), now);
    setText(this.#took, duration(run.duration_ms ?? 0));
    const { input_tokens = 0, output_tokens = 0 } = run.usage ?? {};
    const total = (input_tokens + output_tokens).toLocaleString("en");
    setText(this.#tokens, run.usage ? `${total} tokens` : "");
  }
}

export function time() {
  return h("time");
}

/**
 * @param {HTMLTimeElement} element
 * @param {number} timestamp Unix seconds
 * @param {number} now milliseconds
 */
export function setTime(element, timestamp, now) {
  const date = new Date(Math.floor(timestamp) * 1000);
  const iso = date.toISOString().replace(".000", "");
  if (element.dateTime !== iso) element.dateTime = iso;
  const exact = date.toLocaleString("en-GB", {
    dateStyle: "full",
    timeStyle: "medium",
  });
  if (element.title !== exact) element.title = exact;
  setText(element, clockTime(timestamp, now));
}
