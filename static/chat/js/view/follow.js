/**
 * Keeps the end in view, but only for a reader who is there; a reader elsewhere keeps
 * the place.
 */

const NEAR_PX = 48;

export class Follow {
  #scroller;
  #button;
  #isFollowing = true;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} button "new text below"
   */
  constructor(scroller, button) {
    this.#scroller = scroller;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#isFollowing && this.#pin()).observe(scroller);
  }

  get isFollowing() {
    return this.#isFollowing;
  }

  /** Go to the end, and stay there. */
  toEnd() {
    this.#isFollowing = true;
    this.#button.hidden = true;
    this.#pin();
  }

  /** The reader goes somewhere else, by a deep link say. */
  leave() {
    this.#isFollowing = false;
  }

  /**
   * Paint, and be where the reader was afterwards.
   * @param {() => void} paint
   */
  around(paint) {
    const anchor = this.#isFollowing ? null : this.#anchor();
    const before = anchor?.getBoundingClientRect().top ?? 0;
    const height = this.#scroller.scrollHeight;
    paint();
    if (this.#isFollowing) return this.#pin();
    if (anchor?.isConnected) {
      this.#scroller.scrollTop += anchor.getBoundingClientRect().top - before;
    }
    if (this.#scroller.scrollHeight > height && !this.#isNearEnd) {
      this.#button.hidden = false;
    }
  }

  /** The first card or prompt in view. */
  #anchor() {
    const top = this.#scroller.getBoundingClientRect().top;
    const runs = [...this.#scroller.querySelectorAll(".run")];
    const run = runs.find((each) => each.getBoundingClientRect().bottom > top);
    const parts = [...(run?.querySelectorAll(".prompt, .card, .prose > *") ?? [])];
    return parts.find((each) => each.getBoundingClientRect().bottom > top) ?? run;
  }

  get #isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #scrolled() {
    this.#isFollowing = this.#isNearEnd;
    if (this.#isFollowing) this.#button.hidden = true;
  }

  #pin() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
