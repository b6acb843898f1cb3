/**
 * Where a reader is, in words that outlive the page: which part of which run, and how
 * far below the top of the view. `first_paint.js` reads what `storePlace` wrote.
 *
 * @import { JsonStorage } from "../client/storage.js"
 */

/**
 * @typedef {object} Place
 * @property {number} run
 * @property {number} part which of the run's parts
 * @property {number} top pixels from the top of the view to the part's
 * @property {number} runTop the same to the run's
 */

import { isShown } from "./dom.js";

/** In order. A text's blocks, however many of them are kept together (markdown/). */
const PARTS =
  ".ask, .work__sum, .step, .answer__by, .fault, .md-chunk > *, .md-live > *";

/** The same, but of full chunks only the whole: to measure all inside would be slow. */
const COARSE =
  ".ask, .work__sum, .step, .answer__by, .fault, .md-chunk.is-full, .md-chunk:not(.is-full) > *, .md-live > *";

/**
 * What is at the top of the view: a run, and the innermost part of it.
 * @param {HTMLElement} scroller
 * @returns {{ run: HTMLElement, part: Element } | null}
 */
export function topmost(scroller) {
  const { top } = scroller.getBoundingClientRect();
  const runs = /** @type {HTMLElement[]} */ ([...scroller.querySelectorAll(".run")]);
  const run = runs.find((each) => each.getBoundingClientRect().bottom > top);
  if (!run) return null;
  const part = lastAbove(run.querySelectorAll(COARSE), top);
  const inside = part?.matches(".is-full") ? lastAbove(part.children, top) : part;
  return { run, part: inside ?? run.querySelector(PARTS) ?? run };
}

/**
 * @param {Iterable<Element>} elements
 * @param {number} top
 */
function lastAbove(elements, top) {
  return [...elements].findLast(
    (each) => each.getBoundingClientRect().top <= top && isShown(each),
  );
}

/**
 * @param {HTMLElement} scroller
 * @returns {Place | null} null where no sent message is in view
 */
export function placeIn(scroller) {
  const found = topmost(scroller);
  if (!found?.run.dataset.run) return null;
  const { run, part } = found;
  return {
    run: Number(run.dataset.run),
    part: [...run.querySelectorAll(PARTS)].indexOf(part),
    top: distance(scroller, part),
    runTop: distance(scroller, run),
  };
}

/**
 * The element of that place, if it is shown already.
 * @param {Place} place
 */
export function elementAt({ run, part }) {
  const element = document.getElementById(`run-${run}`);
  return (part >= 0 ? element?.querySelectorAll(PARTS)[part] : element) ?? null;
}

/**
 * How far an element is below the top of the view, in pixels.
 * @param {HTMLElement} scroller
 * @param {Element} element
 */
export function distance(scroller, element) {
  return element.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
}

/**
 * @param {JsonStorage} storage
 * @param {Place | null} place null: at the end
 */
export function storePlace(storage, place) {
  storage.set(keyOf(), place);
}

/**
 * Where the reader was, if this page is the same one once more.
 * @param {JsonStorage} storage
 * @returns {Place | null}
 */
export function storedPlace(storage) {
  const [entry] = performance.getEntriesByType("navigation");
  if (/** @type {PerformanceNavigationTiming} */ (entry)?.type === "navigate") {
    return null;
  }
  return storage.get(keyOf());
}

function keyOf() {
  return `place:${location.pathname}`;
}
