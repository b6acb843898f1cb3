/**
 * At most one paint per frame, however often something changes.
 *
 * @typedef {{ update(): void }} Paintable
 */

export class Painter {
  #requestFrame;
  /** @type {Set<Paintable>} */
  #due = new Set();
  #isAsked = false;

  /** @param {(callback: () => void) => unknown} requestFrame */
  constructor(requestFrame) {
    this.#requestFrame = requestFrame;
  }

  /** @param {Paintable} paintable */
  request(paintable) {
    this.#due.add(paintable);
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#requestFrame(() => this.#paint());
  }

  #paint() {
    this.#isAsked = false;
    const due = [...this.#due];
    this.#due.clear();
    for (const paintable of due) paintable.update();
  }
}
