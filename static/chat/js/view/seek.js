/**
 * Brings a reader to a place that may not be painted yet, or not even loaded: where they
 * were before a reload, or where a link leads.
 *
 * @import { ChatClient } from "../client/chat_client.js"
 * @import { Follow } from "./follow.js"
 * @import { Place } from "./place.js"
 */

import { distance, elementAt } from "./place.js";
import { showEarlier } from "./transcript/work.js";

/** Frames after which the layout around a place that was gone to has come to rest. */
const SETTLED_FRAMES = 5;

/**
 * @typedef {object} Target
 * @property {number} run
 * @property {() => Element | null} find
 * @property {number} top pixels from the top of the view
 * @property {(element: Element) => void} arrived
 */

export class Seek {
  #client;
  #scroller;
  #follow;
  /** @type {Target | null} */
  #target = null;
  #frames = 0;

  /**
   * @param {{ client: ChatClient, scroller: HTMLElement }} needs
   * @param {Follow} follow
   */
  constructor({ client, scroller }, follow) {
    this.#client = client;
    this.#scroller = scroller;
    this.#follow = follow;
  }

  get isOver() {
    return this.#target === null;
  }

  /** The reader goes elsewhere. */
  drop() {
    this.#target = null;
  }

  /** @param {Place} place */
  toPlace(place) {
    const { run, top } = place;
    this.#begin({ run, top, find: () => elementAt(place), arrived: () => {} });
  }

  /**
   * A deep link: `#run-3`, `#run-3-step-2`.
   * @param {string} hash
   */
  toLink(hash) {
    const [, run, step] = /^#run-(\d+)(-step-\d+)?$/.exec(hash) ?? [];
    if (!run) return;
    const element = () => document.getElementById(hash.slice(1));
    const find = step ? () => opened(element()) : element;
    this.#begin({ run: Number(run), top: 0, find, arrived: mark });
  }

  /**
   * Get nearer, after a paint; false: paint again, and ask again.
   * @param {(run: number) => boolean} isPainted
   */
  goOn(isPainted) {
    if (!this.#target) return true;
    const { run, find } = this.#target;
    if (run < (this.#client.runs.first ?? 0)) {
      this.#client.loadEarlier();
      return true; // what comes will be painted
    }
    const element = find();
    if (element) return this.#scrollTo(element, isPainted(run));
    if (isPainted(run)) this.drop();
    return true;
  }

  /** @param {Target} target */
  #begin(target) {
    this.#target = target;
    this.#frames = 0;
  }

  /**
   * @param {Element} element
   * @param {boolean} isPainted
   */
  #scrollTo(element, isPainted) {
    const { top, arrived } = /** @type {Target} */ (this.#target);
    this.#follow.leave();
    this.#scroller.scrollTop += distance(this.#scroller, element) - top;
    this.#frames += 1;
    // What is around gets its true height only once it is in view.
    if (!isPainted || this.#frames < SETTLED_FRAMES) return false;
    this.drop();
    arrived(element);
    return true;
  }
}

/**
 * @param {Element | null} element of a step
 */
function opened(element) {
  const steps = element?.closest(".steps");
  if (steps) showEarlier(steps, true);
  const inside = element?.matches(".step") ? element.querySelector("details") : element;
  let fold = inside?.closest("details");
  while (fold) {
    fold.open = true;
    fold = fold.parentElement?.closest("details");
  }
  return element;
}

/** @param {Element} element that a link led to */
function mark(element) {
  for (const old of document.querySelectorAll(".is-target")) {
    old.classList.remove("is-target");
  }
  element.classList.add("is-target");
}
