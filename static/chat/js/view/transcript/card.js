/**
 * One card: a line that says what happened, and under it what was said, to fold away.
 *
 * @import { Step } from "../../client/types.js"
 * @import { Folds } from "./fold.js"
 */

import { h, setText } from "../dom.js";

/** Attributes of this shape mark a card for the template as for the script. */
/**
 * @typedef {object} Context
 * @property {Folds} folds
 * @property {() => number} now milliseconds
 * @property {() => number} serverNow Unix seconds
 */

/**
 * The id of a step's element, and of its deep link.
 * @param {number} run
 * @param {number} step
 */
export function stepId(run, step) {
  return `run-${run}-step-${step}`;
}

export class Card {
  #folds;
  #foldId;
  /** Set while the script itself folds, so that it is not taken for the reader. */
  #isOurs = false;

  /**
   * @param {string} foldId
   * @param {Folds} folds
   * @param {string} kind
   */
  constructor(foldId, folds, kind) {
    this.#folds = folds;
    this.#foldId = foldId;
    this.head = h("summary", { class: "card__head" });
    this.body = h("div", { class: "card__body" });
    this.fold = h(
      "details",
      { class: "card__fold", ontoggle: () => this.#toggled() },
      this.head,
      this.body,
    );
    this.element = h("li", { class: `card card--${kind}` }, this.fold);
  }

  /**
   * Fold or unfold, unless the reader has decided otherwise or is at it.
   * @param {boolean} isOpen
   */
  setOpen(isOpen) {
    const open = this.#folds.chosen(this.#foldId) ?? isOpen;
    if (this.fold.open === open || (!open && this.#isInUse)) return;
    this.#isOurs = true;
    this.fold.open = open;
  }

  /** Somebody is selecting text in it, or has the keyboard there. */
  get #isInUse() {
    const selection = document.getSelection();
    const selects =
      selection !== null &&
      !selection.isCollapsed &&
      this.body.contains(selection.anchorNode);
    return selects || this.body.contains(document.activeElement);
  }

  #toggled() {
    if (!this.#isOurs) this.#folds.choose(this.#foldId, this.fold.open);
    this.#isOurs = false;
  }
}

/**
 * A piece of a card's line; made once, then only its text changes.
 * @param {string} name
 */
export function headPart(name) {
  return h("span", { class: `card__${name}` });
}

/**
 * @param {HTMLElement} part
 * @param {string} text
 */
export function setPart(part, text) {
  setText(part, text);
  part.hidden = text === "";
}

/**
 * @param {Step} step
 * @param {HTMLElement} element
 * @param {number} run
 */
export function markStep(step, element, run) {
  element.id = stepId(run, step.step);
  element.dataset.step = String(step.step);
  element.dataset.type = step.type;
  element.dataset.status = step.status;
}
