/**
 * At most one paint per frame, however often something changes; while text streams in,
 * at most some thirty a second, which reads as smoothly and leaves the machine alone.
 *
 * @typedef {{ update(): void }} Paintable
 */

const REST_MS = 25;

export class Painter {
  #requestFrame;
  #now;
  #paintedAt = Number.NEGATIVE_INFINITY;
  /** @type {Set<Paintable>} */
  #due = new Set();
  #isAsked = false;

  /**
   * @param {(callback: () => void) => unknown} requestFrame
   * @param {() => number} now milliseconds
   */
  constructor(requestFrame, now) {
    this.#requestFrame = requestFrame;
    this.#now = now;
  }

  /** @param {Paintable} paintable */
  request(paintable) {
    this.#due.add(paintable);
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#requestFrame(() => this.#frame());
  }

  #frame() {
    const now = this.#now();
    if (now - this.#paintedAt < REST_MS) {
      this.#requestFrame(() => this.#frame());
      return;
    }
    this.#paintedAt = now;
    this.#paint();
  }

  #paint() {
    this.#isAsked = false;
    const due = [...this.#due];
    this.#due.clear();
    for (const paintable of due) paintable.update();
  }
}
