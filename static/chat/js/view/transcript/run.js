/**
 * One run: what was asked, the work, the answer, and what can be done now.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { errorFault, faultOf } from "../../words/summary.js";
import { isOutcome } from "../../words/work.js";
import { h, setChildren } from "../dom.js";
import { Answer } from "./answer.js";
import { Ask } from "./ask.js";
import { Acts, Fault } from "./footer.js";
import { Work } from "./work.js";

export class RunView {
  #context;
  #ask = new Ask();
  #work;
  /** @type {Map<number, Answer | Fault>} answers and errors, by the number of their step */
  #outcomes = new Map();
  #fault = new Fault();
  #acts = new Acts();

  /**
   * @param {Run} run
   * @param {Context} context
   */
  constructor(run, context) {
    this.#context = context;
    this.#work = new Work(run, context);
    this.element = h("article", { class: "run" });
  }

  /**
   * Show the run as it is now; false: there is more to do next frame.
   * @param {Run} run
   */
  update(run) {
    const { element } = this;
    element.id = `run-${run.run}`;
    element.dataset.run = String(run.run);
    element.dataset.status = run.status;
    element.dataset.reason = run.reason ?? "";
    const now = this.#context.serverNow() * 1000;
    this.#ask.update(run, now, this.#context.waitsFor(run.run));
    this.#acts.update(run, now);
    const isWorkShown = this.#work.update(run);
    const fault = faultOf(run);
    const { areShown, elements } = this.#updateOutcomes(run, fault?.step);
    if (fault) {
      this.#fault.update(fault, fault.step, run.run);
      elements.push(this.#fault.element);
    }
    setChildren(element, [
      this.#ask.element,
      ...(this.#work.isEmpty ? [] : [this.#work.element]),
      ...elements,
      this.#acts.element,
    ]);
    return isWorkShown && areShown;
  }

  /**
   * @param {Run} run
   * @param {Step | undefined} saidLast the error that is said at the end
   */
  #updateOutcomes(run, saidLast) {
    const elements = [];
    let areShown = true;
    for (const step of run.steps) {
      if (!isOutcome(step) || step === saidLast) continue;
      const view = this.#outcomeOf(step);
      if (view instanceof Answer) areShown = view.update(step, run) && areShown;
      else view.update(errorFault(step), step, run.run);
      elements.push(view.element);
    }
    return { areShown, elements };
  }

  /** @param {Step} step */
  #outcomeOf(step) {
    const isAnswer = step.type === "final_answer";
    const known = this.#outcomes.get(step.step);
    if (known && known instanceof Answer === isAnswer) return known;
    const view = isAnswer ? new Answer(this.#context) : new Fault();
    this.#outcomes.set(step.step, view);
    return view;
  }
}
