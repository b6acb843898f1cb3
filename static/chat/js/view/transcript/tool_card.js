/**
 * The card of a tool's call and its result: one pair, on one line when done.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { duration } from "../../words/format.js";
import { argumentsGist, contentGist, ICONS, titleOf } from "../../words/summary.js";
import { h } from "../dom.js";
import { Card, headPart, markStep, setPart, stepId } from "./card.js";
import { renderResult } from "./result.js";
import { toolbar } from "./text_card.js";

export class ToolCard {
  #card;
  #run;
  #use = new Half("use");
  #result = new Half("result");
  #time = headPart("time");
  #resultShown = "";

  /**
   * @param {Run} run
   * @param {Step} step the first of the two
   * @param {Context} context
   */
  constructor(run, step, { folds }) {
    this.#run = run.run;
    this.#card = new Card(`${stepId(run.run, step.step)}-pair`, folds, "tool");
    this.#card.head.append(this.#use.head, this.#result.head, this.#time);
    this.#card.body.append(this.#use.body, this.#result.body);
  }

  get element() {
    return this.#card.element;
  }

  /**
   * @param {Step[]} steps the use, the result, or both
   * @param {boolean} isOver nothing will be added
   */
  update(steps, isOver) {
    const use = steps.find((step) => step.type === "tool_use");
    const result = steps.find((step) => step.type === "tool_result");
    this.#showUse(use);
    this.#showResult(result);
    const isDone = isOver || isEnded(result ?? use);
    const ms = result?.duration_ms ?? use?.duration_ms;
    setPart(this.#time, isDone && ms !== undefined ? duration(ms) : "");
    const { status = "ok" } = result ?? use ?? {};
    this.element.dataset.status = isDone ? status : "running";
    this.#card.setOpen(!isDone);
    return true;
  }

  /** @param {Step | undefined} step */
  #showUse(step) {
    if (!this.#use.show(step, this.#run) || !step) return;
    setPart(this.#use.title, titleOf(step));
    setPart(this.#use.gist, step.status === "running" ? "" : argumentsGist(step));
    const text = step.tool_input
      ? JSON.stringify(step.tool_input, null, 2)
      : step.content;
    if (this.#use.text.textContent !== text) this.#use.text.textContent = text;
  }

  /** @param {Step | undefined} step */
  #showResult(step) {
    if (!this.#result.show(step, this.#run) || !step) return;
    setPart(this.#result.title, "");
    setPart(this.#result.gist, resultGist(step));
    const state = `${step.status}:${step.content.length}`;
    if (state === this.#resultShown) return;
    this.#resultShown = state;
    renderResult(this.#result.text, step.content, step.status !== "running");
  }
}

/**
 * A result that is there, or a use that will get none.
 * @param {Step | undefined} step
 */
function isEnded(step) {
  if (!step || step.status === "running") return false;
  return step.type === "tool_result" || step.status !== "ok";
}

/** @param {Step} step */
function resultGist(step) {
  if (step.status === "running") return "running…";
  if (step.status === "stopped") return "stopped";
  return contentGist(step) || "nothing";
}

/** The use or the result: its piece of the line, and its part of the body. */
class Half {
  #type;
  title = headPart("title");
  gist = headPart("gist");
  text = h("div", { class: "half__text" });

  /** @param {"use" | "result"} name */
  constructor(name) {
    this.#type = /** @type {const} */ (`tool_${name}`);
    const icon = headPart("icon");
    icon.ariaHidden = "true";
    icon.textContent = ICONS[this.#type];
    const said =
      name === "result" ? h("span", { class: "visually-hidden" }, "result ") : null;
    this.head = h("span", { class: "half__head" }, icon, said, this.title, this.gist);
    this.head.dataset.type = this.#type;
    this.label = h(
      "p",
      { class: "half__label" },
      name === "use" ? "Arguments" : "Result",
    );
    this.body = h("section", { class: "half" }, this.label, this.text, toolbar());
  }

  /**
   * @param {Step | undefined} step
   * @param {number} run
   */
  show(step, run) {
    this.head.hidden = this.body.hidden = !step;
    if (!step) return false;
    markStep(step, this.body, run);
    this.head.dataset.status = step.status;
    return true;
  }
}
