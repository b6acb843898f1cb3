/**
 * Which cards a reader opened or closed; what the reader did not touch follows the rule
 * "open while running, closed when done". Survives reload, within bounds.
 *
 * @import { Kept } from "../../model/kept.js"
 */

const LIMIT = 500;
const SESSIONS = 100;

export class Folds {
  #kept;
  #key;
  /** @type {Map<string, boolean>} */
  #chosen;

  /**
   * @param {Kept} kept
   * @param {string} sessionId
   */
  constructor(kept, sessionId) {
    this.#kept = kept;
    this.#key = `folds:${sessionId}`;
    this.#chosen = new Map(kept.list(this.#key));
    for (const old of kept.keys("folds:").slice(SESSIONS)) kept.set(old, null);
  }

  /** @param {string} id of the card's element */
  chosen(id) {
    return this.#chosen.get(id);
  }

  /**
   * @param {string} id
   * @param {boolean} isOpen
   */
  choose(id, isOpen) {
    this.#chosen.delete(id);
    this.#chosen.set(id, isOpen);
    this.#chosen = new Map([...this.#chosen].slice(-LIMIT));
    this.#kept.set(this.#key, [...this.#chosen]);
  }
}
