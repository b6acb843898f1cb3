/**
 * The answer: text on the page, under who gave it.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { h, setText } from "../dom.js";
import { MarkdownStream } from "../markdown/stream.js";
import { markOf, markStep, setMark } from "./card.js";

export class Answer {
  #mark = markOf("part");
  #by = h("span");
  #prose = h("div", { class: "prose" });
  #markdown;
  /** The step, once it is shown for good. @type {Step | null} */
  #shown = null;

  /** @param {Context} context */
  constructor({ now }) {
    this.#markdown = new MarkdownStream(this.#prose, now);
    const name = h("span", { class: "answer__name" }, "Answer");
    this.element = h(
      "section",
      { class: "answer", "data-kind": "answer" },
      h("p", { class: "answer__by" }, this.#mark, name, this.#by),
      this.#prose,
    );
  }

  /**
   * Show the step as it is now; false: there is more to do next frame.
   * @param {Step} step
   * @param {Run} run
   */
  update(step, { run, agent_name }) {
    if (step === this.#shown) return true;
    markStep(step, this.element, run);
    const isDone = step.status !== "running";
    const isCut = isDone && step.status !== "ok";
    setMark(this.#mark, step.status === "ok" ? "answer" : "part");
    const by = step.agent ?? agent_name;
    setText(this.#by, isCut ? `${by}, not finished` : by);
    this.#prose.classList.toggle("has-caret", !isDone);
    const isShown = this.#markdown.update(step.content, isDone);
    if (isDone && isShown) this.#shown = step;
    return isShown;
  }
}
