/**
 * A tool's call and its result: one row when done, orange into purple.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { duration, oneLine } from "../../words/format.js";
import { progressWords } from "../../words/progress.js";
import { argumentsGist, contentGist } from "../../words/summary.js";
import { isToolRunning, named } from "../../words/work.js";
import { h, setText } from "../dom.js";
import {
  Card,
  chevron,
  headPart,
  markOf,
  markStep,
  setMark,
  setPart,
  stepId,
} from "./card.js";
import { ProgressLine } from "./progress.js";
import { renderArguments, renderResult } from "./result.js";
import { stepActs } from "./text_card.js";

const GIST_CHARS = 140;

export class ToolCard {
  #card;
  #run;
  #use = new Half("tool", "Arguments");
  #result = new Half("result", "Result");
  #progress = new ProgressLine();
  #time = headPart("time");
  #useShown = "";
  #resultShown = "";
  #serverNow;

  /**
   * @param {Run} run
   * @param {Step} step the first of the two
   * @param {Context} context
   */
  constructor(run, step, { folds, serverNow }) {
    this.#serverNow = serverNow;
    this.#run = run.run;
    const foldId = `${stepId(run.run, step.step)}-pair`;
    this.#card = new Card(foldId, folds, "step step--pair");
    this.#card.head.append(this.#use.head, this.#result.head, this.#time, chevron());
    this.#card.body.append(this.#use.body, this.#result.body);
    this.#result.text.before(this.#progress.element);
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
    const isDone = isOver || !isToolRunning(steps);
    const ms = isDone ? (result ?? use)?.duration_ms : this.#soFar(steps);
    setText(this.#time, duration(ms ?? 0));
    const { status = "ok" } = result ?? use ?? {};
    this.element.dataset.status = isDone ? status : "running";
    this.element.dataset.kind = kindOf(steps);
    this.#card.setOpen(!isDone);
    return true;
  }

  /** Whole seconds, in milliseconds. @param {Step[]} steps */
  #soFar([step]) {
    const seconds = this.#serverNow() - (step?.timestamp ?? 0);
    return seconds < 2 ? 0 : Math.floor(seconds) * 1000;
  }

  /** @param {Step | undefined} step */
  #showUse(step) {
    if (!this.#use.show(step, this.#run) || !step) return;
    const isWritten = step.status !== "running";
    setPart(this.#use.name, named(step.tool_name ?? "tool", step));
    this.#use.text.classList.toggle("has-caret", !isWritten);
    const state = `${step.status}:${step.content.length}`;
    if (state === this.#useShown) return;
    this.#useShown = state;
    setPart(this.#use.gist, isWritten ? argumentsGist(step) : "Writing the call");
    renderArguments(this.#use.text, step);
  }

  /** @param {Step | undefined} step */
  #showResult(step) {
    if (!this.#result.show(step, this.#run) || !step) return;
    const isWrong = step.status === "error";
    this.#result.setKind(isWrong ? "error" : "result");
    setPart(this.#result.name, isWrong ? "Failed" : "");
    setPart(this.#result.gist, resultGist(step));
    this.#progress.update(step);
    const state = `${step.status}:${step.content.length}`;
    if (state === this.#resultShown) return;
    this.#resultShown = state;
    renderResult(this.#result.text, step.content, step.status !== "running");
  }
}

/**
 * Of the thread beside it: a call alone, a call and its result, or one that failed.
 * @param {Step[]} steps
 */
function kindOf(steps) {
  if (steps.some(({ status }) => status === "error")) return "error";
  return steps.at(-1)?.type === "tool_result" ? "result" : "tool";
}

/** @param {Step} step */
function resultGist(step) {
  if (step.status === "running") return runningGist(step) || "Running";
  if (step.status === "stopped") return "Stopped";
  return contentGist(step) || "Nothing";
}

/** @param {Step} step */
function runningGist({ progress }) {
  return progress ? oneLine(progressWords(progress), GIST_CHARS) : "";
}

/** The use or the result: its piece of the row, and its part of the body. */
class Half {
  #mark;
  name = headPart("name");
  gist = headPart("gist", "code");
  text = h("div", { class: "half__text" });

  /**
   * @param {"tool" | "result"} kind
   * @param {string} label
   */
  constructor(kind, label) {
    this.#mark = markOf(kind);
    const heard =
      kind === "result" ? h("span", { class: "only-read" }, "Result: ") : null;
    this.head = h("span", { class: "half" }, this.#mark, heard, this.name, this.gist);
    this.body = h(
      "section",
      {},
      h("p", { class: "half__label" }, label),
      this.text,
      stepActs(),
    );
    this.setKind(kind);
  }

  /** @param {string} kind */
  setKind(kind) {
    this.head.dataset.kind = this.body.dataset.kind = kind;
    setMark(this.#mark, kind);
  }

  /**
   * @param {Step | undefined} step
   * @param {number} run
   */
  show(step, run) {
    this.head.hidden = this.body.hidden = !step;
    if (!step) return false;
    markStep(step, this.body, run);
    return true;
  }
}
