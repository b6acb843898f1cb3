/**
 * The work: one line about it, and under it, to fold away, its steps.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import {
  depthOf,
  earlierOf,
  earlierWords,
  isAnswering,
  ticksOf,
  workOf,
  workWords,
} from "../../words/work.js";
import { button, h, setChildren, setText } from "../dom.js";
import { chevron } from "./card.js";
import { Foldable } from "./fold.js";
import { TextCard } from "./text_card.js";
import { ToolCard } from "./tool_card.js";

export class Work {
  #context;
  /** @type {Map<string, TextCard | ToolCard>} */
  #cards = new Map();
  /** The steps that a card has shown for good. @type {WeakMap<object, Step[]>} */
  #shown = new WeakMap();
  #ticks = new Ticks();
  #words = h("span", { class: "work__words" });
  #sum = h("summary", { class: "work__sum" });
  #steps = h("ol", { class: "steps" });
  #earlier;
  #fold;
  /** Is there nothing to say? */
  isEmpty = true;
  /** @type {Run | undefined} */
  #run;

  /**
   * @param {Run} run
   * @param {Context} context
   */
  constructor(run, context) {
    this.#context = context;
    this.#sum.append(this.#ticks.element, this.#words, chevron());
    this.element = h("details", { class: "work" }, this.#sum, this.#steps);
    const id = `run-${run.run}-work`;
    this.#fold = new Foldable(this.element, this.#steps, id, context.folds);
    this.#earlier = new Earlier(this.#steps);
    this.element.addEventListener("toggle", () => this.#describe());
  }

  /**
   * Show the run as it is now; false: there is more to do next frame.
   * @param {Run} run
   */
  update(run) {
    this.#run = run;
    const groups = workOf(run);
    const cards = groups.map((group) => this.#cardOf(run, group));
    const elements = cards.map((card) => card.element);
    const earlier = this.#earlier.update(earlierOf(groups));
    setChildren(this.#steps, earlier ? [earlier, ...elements] : elements);
    this.#setOpen(run);
    this.#describe();
    const isOver = run.status === "finished";
    return cards
      .map((card, i) => this.#paint(card, groups[i] ?? [], isOver))
      .every(Boolean);
  }

  /**
   * Open while it goes on; where somebody is reading in it, it stays open.
   * @param {Run} run
   */
  #setOpen(run) {
    const isOpen =
      run.enable_reasoning && run.status === "running" && !isAnswering(run);
    if (isOpen || this.#context.isFollowing()) this.#fold.setOpen(isOpen);
  }

  #describe() {
    const run = this.#run;
    if (!run) return;
    const groups = workOf(run);
    const { open } = this.element;
    const words = workWords(run, groups, open, this.#context.serverNow());
    setText(this.#words, words);
    this.isEmpty = words === "";
    this.element.classList.toggle("is-bare", groups.length === 0);
    this.#ticks.show(run.enable_reasoning ? ticksOf(groups) : []);
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

  /**
   * @param {Run} run
   * @param {Step[]} group
   */
  #cardOf(run, group) {
    const first = /** @type {Step} */ (group[0]);
    const Kind = first.type === "thought" ? TextCard : ToolCard;
    const key = `${first.type === "thought"}-${first.step}`;
    let card = this.#cards.get(key);
    if (!card) {
      card = new Kind(run, first, this.#context);
      card.element.dataset.depth = String(depthOf(run, first));
      this.#cards.set(key, card);
    }
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

/** One tick for each step: the shape of a run. */
class Ticks {
  element = h("span", { class: "ticks", "aria-hidden": "true" });
  #shown = "";

  /** @param {string[]} kinds */
  show(kinds) {
    const key = kinds.join();
    this.element.hidden = kinds.length === 0;
    if (key === this.#shown) return;
    this.#shown = key;
    this.element.replaceChildren(
      ...kinds.map((kind) => h("span", { "data-kind": kind })),
    );
  }
}

/** The row that stands for the first steps of many, and brings them back. */
class Earlier {
  #steps;
  #ticks = new Ticks();
  #words = h("span");
  #button = button("", "earlier", { class: "", "aria-expanded": "false" });

  /** @param {HTMLElement} steps */
  constructor(steps) {
    this.#steps = steps;
    this.#button.append(this.#ticks.element, this.#words, chevron());
    this.element = h("li", { class: "earlier" }, this.#button);
  }

  /**
   * @param {Step[][]} groups
   * @returns {HTMLElement | null} the row, where there is need of one
   */
  update(groups) {
    const isShown = groups.length > 0;
    const isOpen = this.#button.ariaExpanded === "true";
    this.#steps.classList.toggle("is-cut", isShown && !isOpen);
    if (!isShown) return null;
    this.#ticks.show(ticksOf(groups));
    setText(this.#words, earlierWords(groups));
    return this.element;
  }
}

/**
 * Bring back the first steps of many, or put them away again.
 * @param {Element} steps their list
 * @param {boolean} isOpen
 */
export function showEarlier(steps, isOpen) {
  steps.classList.toggle("is-cut", !isOpen);
  steps
    .querySelector(".earlier > button")
    ?.setAttribute("aria-expanded", String(isOpen));
}
