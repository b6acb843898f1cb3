/**
 * A step: a row that says what happened, and under it what was said, to fold away.
 *
 * @import { Step } from "../../client/types.js"
 * @import { Folds } from "./fold.js"
 */

import { h, icon, setIcon, setText } from "../dom.js";
import { Foldable } from "./fold.js";

/**
 * @typedef {object} Context
 * @property {Folds} folds
 * @property {() => number} now milliseconds
 * @property {() => number} serverNow Unix seconds
 * @property {(run: number) => "answer" | "place"} waitsFor what a queued run waits for
 * @property {() => boolean} isFollowing is the reader at the end?
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
  #fold;

  /**
   * @param {string} foldId
   * @param {Folds} folds
   * @param {string} classes
   */
  constructor(foldId, folds, classes) {
    this.head = h("summary", { class: "step__row" });
    this.body = h("div", { class: "step__body" });
    const details = h("details", {}, this.head, this.body);
    this.#fold = new Foldable(details, this.body, foldId, folds);
    this.element = h("li", { class: classes }, details);
  }

  /**
   * Fold or unfold, unless the reader has decided otherwise or is at it.
   * @param {boolean} isOpen
   */
  setOpen(isOpen) {
    this.#fold.setOpen(isOpen);
  }
}

/** What stands at the end of a row that folds. */
export function chevron() {
  return icon("icon-chevron-right", "icon icon--chevron");
}

/**
 * A step's mark: the drawing of its kind.
 * @param {string} kind
 */
export function markOf(kind) {
  return h("span", { class: "mark", "aria-hidden": "true" }, icon(`mark-${kind}`, ""));
}

/**
 * @param {HTMLElement} mark
 * @param {string} kind
 */
export function setMark(mark, kind) {
  setIcon(mark, `mark-${kind}`);
}

/**
 * A piece of a step's row; made once, then only its text changes.
 * @param {string} name
 * @param {string} [more] another class
 */
export function headPart(name, more = "") {
  return h("span", { class: `step__${name}${more && ` step__${name}--${more}`}` });
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
