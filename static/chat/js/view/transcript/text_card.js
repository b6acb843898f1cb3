/**
 * The card of a thought, an answer or an error: text that grows, as Markdown.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { duration } from "../../words/format.js";
import { contentGist, ICONS, isWorthSaying, titleOf } from "../../words/summary.js";
import { button, h } from "../dom.js";
import { MarkdownStream } from "../markdown/stream.js";
import { Card, headPart, markStep, setPart, stepId } from "./card.js";

export class TextCard {
  #card;
  #run;
  #icon = headPart("icon");
  #title = headPart("title");
  #gist = headPart("gist");
  #time = headPart("time");
  #markdown;

  /**
   * @param {Run} run
   * @param {Step} step
   * @param {Context} context
   */
  constructor(run, step, { folds, now }) {
    this.#run = run.run;
    this.#card = new Card(stepId(run.run, step.step), folds, "text");
    this.#icon.ariaHidden = "true";
    this.#card.head.append(this.#icon, this.#title, this.#gist, this.#time);
    const prose = h("div", { class: "prose" });
    this.#markdown = new MarkdownStream(prose, now);
    this.#card.body.append(prose, toolbar());
  }

  get element() {
    return this.#card.element;
  }

  /**
   * Show the step as it is now; false: there is more to do next frame.
   * @param {Step[]} steps of which there is one
   */
  update([step]) {
    if (!step) return true;
    const { element } = this;
    markStep(step, element, this.#run);
    const isDone = step.status !== "running";
    setPart(this.#icon, ICONS[step.type]);
    setPart(this.#title, titleOf(step));
    setPart(this.#gist, isDone ? contentGist(step) : "");
    setPart(this.#time, timeOf(step));
    this.#card.setOpen(!isDone || step.type !== "thought");
    return this.#markdown.update(step.content, isDone);
  }
}

/** A thought's time is in its title. @param {Step} step */
function timeOf(step) {
  const { type, duration_ms } = step;
  return type === "final_answer" && isWorthSaying(duration_ms)
    ? duration(duration_ms)
    : "";
}

/** What can be done with a step. */
export function toolbar() {
  return h(
    "div",
    { class: "card__tools" },
    button("Copy", "copy-step"),
    button("Link", "link-step", { "aria-label": "Copy link to this step" }),
  );
}
