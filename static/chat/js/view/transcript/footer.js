/**
 * The end of a run: how it ended, what it took, and what can be done now.
 *
 * @import { Failure, Run } from "../../client/types.js"
 */

import { CONTINUABLE } from "../../client/protocol.js";
import { duration } from "../../words/format.js";
import { stateOf } from "../../words/summary.js";
import { button, h, setText } from "../dom.js";

export class RunFooter {
  #state = h("span", { class: "run__state" });
  #facts = h("span", { class: "run__facts" });
  #error = h("p", { class: "run__error", dir: "auto" });
  #copy = button("Copy answer", "copy-answer");
  #link = button("Link", "link-run", { "aria-label": "Copy link to this question" });
  #edit = button("Edit", "edit", { "aria-label": "Edit this question and ask again" });
  #retry = button("Retry", "retry");
  #withdraw = button("Withdraw", "withdraw");

  constructor() {
    const tools = h(
      "span",
      { class: "run__tools" },
      this.#copy,
      this.#link,
      this.#edit,
      this.#retry,
      this.#withdraw,
    );
    const line = h("div", { class: "run__line" }, this.#state, this.#facts, tools);
    this.element = h("footer", { class: "run__foot" }, this.#error, line);
  }

  /**
   * @param {Run} run
   * @param {number} now Unix seconds, by the server's clock
   */
  update(run, now) {
    const isDone = run.status === "finished";
    setText(this.#state, stateOf(run, now));
    setText(this.#facts, isDone ? factsOf(run) : run.agent_name);
    this.#showError(isSaid(run) ? undefined : run.error);
    this.#copy.hidden = !isDone || !run.steps.some((s) => s.type === "final_answer");
    this.#link.hidden = !isDone;
    this.#edit.hidden = !isDone;
    this.#retry.hidden = !isDone;
    setText(this.#retry, isContinuable(run) ? "Continue" : "Retry");
    this.#retry.classList.toggle("is-primary", isContinuable(run));
    this.#withdraw.hidden = run.status !== "queued";
  }

  /** @param {Failure | undefined} error */
  #showError(error) {
    this.#error.hidden = !error;
    if (error) setText(this.#error, error.message);
  }
}

/**
 * Is the error on a card already?
 * @param {Run} run
 */
function isSaid(run) {
  const { type, content } = run.steps.at(-1) ?? {};
  return type === "error" && content === run.error?.message;
}

/**
 * Is going on the thing to do? Not where trying again cannot help.
 * @param {Run} run
 */
function isContinuable(run) {
  return CONTINUABLE.has(run.reason ?? "") && run.error?.retryable !== false;
}

/** @param {Run} run */
function factsOf(run) {
  const facts = [run.agent_name];
  if (run.duration_ms !== undefined) facts.push(duration(run.duration_ms));
  if (run.usage) {
    const total = run.usage.input_tokens + run.usage.output_tokens;
    facts.push(`${total.toLocaleString("en")} tokens`);
  }
  return facts.join(" · ");
}
