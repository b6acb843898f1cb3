/**
 * One run: what was asked, the steps, and how it ended.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { oneLine } from "../../words/format.js";
import { h, setChildren, setText } from "../dom.js";
import { RunFooter } from "./footer.js";
import { TextCard } from "./text_card.js";
import { ToolCard } from "./tool_card.js";

export class RunView {
  #context;
  /** @type {Map<string, TextCard | ToolCard>} */
  #cards = new Map();
  /** The steps that a card has shown for good. @type {WeakMap<object, Step[]>} */
  #shown = new WeakMap();
  #heading = h("h2", { class: "visually-hidden" });
  #prompt = h("p", { class: "prompt__text", dir: "auto" });
  #steps = h("ol", { class: "steps" });
  #footer = new RunFooter();

  /** @param {Context} context */
  constructor(context) {
    this.#context = context;
    const prompt = h("div", { class: "prompt" }, this.#heading, this.#prompt);
    this.element = h(
      "article",
      { class: "run" },
      prompt,
      this.#steps,
      this.#footer.element,
    );
  }

  /**
   * Show the run as it is now; false: there is more to do next frame.
   * @param {Run} run
   */
  update(run) {
    this.#describe(run);
    const groups = grouped(run.steps);
    const cards = groups.map((group) => this.#cardOf(run, group));
    setChildren(
      this.#steps,
      cards.map((card) => card.element),
    );
    this.#steps.hidden = cards.length === 0;
    this.#footer.update(run, this.#context.serverNow());
    const isOver = run.status === "finished";
    return cards
      .map((card, i) => this.#paint(card, groups[i] ?? [], isOver))
      .every(Boolean);
  }

  /**
   * A step that has finished changes no more, and costs no more. (A run fetched afresh
   * has other steps.)
   * @param {TextCard | ToolCard} card
   * @param {Step[]} steps
   * @param {boolean} isOver
   */
  #paint(card, steps, isOver) {
    const shown = this.#shown.get(card);
    if (shown?.length === steps.length && steps.every((step, i) => step === shown[i])) {
      return true;
    }
    const isShown = card.update(steps, isOver);
    if (isShown && isFinal(steps, isOver)) this.#shown.set(card, steps);
    return isShown;
  }

  /** @param {Run} run */
  #describe(run) {
    this.element.id = `run-${run.run}`;
    this.element.dataset.run = String(run.run);
    this.element.dataset.status = run.status;
    this.element.dataset.reason = run.reason ?? "";
    setText(this.#heading, `Question ${run.run}: ${oneLine(run.prompt, 80)}`);
    setText(this.#prompt, run.prompt);
  }

  /**
   * @param {Run} run
   * @param {Step[]} group
   */
  #cardOf(run, group) {
    const first = /** @type {Step} */ (group[0]);
    const Kind = isTool(first) ? ToolCard : TextCard;
    const key = `${Kind === ToolCard ? "tool" : "text"}-${first.step}`;
    const card = this.#cards.get(key) ?? new Kind(run, first, this.#context);
    this.#cards.set(key, card);
    return card;
  }
}

/**
 * Is this all of them, and all of each? A call may still get its result.
 * @param {Step[]} steps
 * @param {boolean} isOver
 */
function isFinal(steps, isOver) {
  const isDone = steps.every((step) => step.status !== "running");
  return isDone && (isOver || steps.at(-1)?.type !== "tool_use");
}

/** @param {Step} step */
function isTool(step) {
  return step.type === "tool_use" || step.type === "tool_result";
}

/**
 * A tool's use and its result are one group, any other step is its own.
 * @param {Step[]} steps
 */
export function grouped(steps) {
  /** @type {Step[][]} */
  const groups = [];
  for (const step of steps) {
    const use = step.type === "tool_result" ? findUse(groups, step) : undefined;
    if (use) use.push(step);
    else groups.push([step]);
  }
  return groups;
}

/**
 * @param {Step[][]} groups
 * @param {Step} result
 */
function findUse(groups, result) {
  return groups.findLast(
    ([first, second]) =>
      first?.type === "tool_use" && !second && first.call_id === result.call_id,
  );
}
