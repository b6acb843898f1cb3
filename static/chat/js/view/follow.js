/**
 * Keeps the end in view, but only for a reader who is there; a reader elsewhere keeps
 * the place.
 */

import { topmost } from "./place.js";

const NEAR_PX = 48;

export class Follow {
  #scroller;
  #content;
  #button;
  #isFollowing = true;
  /** Where the last look found the scroller: what is less than that, the reader did. */
  #top = 0;
  #height = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content
   * @param {HTMLElement} button "to the end", for a reader elsewhere
   */
  constructor(scroller, content, button) {
    this.#scroller = scroller;
    this.#content = content;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    const resized = new ResizeObserver(() => this.#isFollowing && this.#pin());
    resized.observe(scroller);
    resized.observe(content);
  }

  get isFollowing() {
    return this.#isFollowing;
  }

  /** Go to the end, and stay there. */
  toEnd() {
    this.#isFollowing = true;
    this.#pin();
    this.#offer();
  }

  /** The reader goes somewhere else, by a deep link say. */
  leave() {
    this.#isFollowing = false;
    this.#offer();
  }

  /** The reader changes the layout: leave it where it is, follow on if still there. */
  pause() {
    this.leave();
    requestAnimationFrame(() => this.#look());
  }

  /**
   * Paint, and be where the reader was afterwards.
   * @param {() => void} paint
   */
  around(paint) {
    if (this.#isFollowing) {
      paint();
      return this.#pin();
    }
    const anchor = topmost(this.#scroller)?.part;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    paint();
    if (anchor?.isConnected) {
      this.#scroller.scrollTop += anchor.getBoundingClientRect().top - before;
    }
    this.#offer();
  }

  /** A way to the end, unless it is in view. */
  #offer() {
    this.#button.hidden = this.#isFollowing || this.#isNearEnd;
  }

  get #isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #scrolled() {
    const { scrollTop, scrollHeight } = this.#scroller;
    const wentUp = scrollTop < this.#top - 1 && scrollHeight >= this.#height;
    this.#note();
    if (wentUp) this.leave();
    else this.#look();
  }

  #look() {
    if (!this.#isNearEnd) return this.leave();
    this.#isFollowing = true;
    this.#offer();
  }

  #pin() {
    if (!this.#content.querySelector(".run")) return; // what is there, is not an end
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#note();
  }

  #note() {
    this.#top = this.#scroller.scrollTop;
    this.#height = this.#scroller.scrollHeight;
  }
}
