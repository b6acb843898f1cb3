/**
 * Which cards a reader opened or closed; what the reader did not touch follows the rule
 * "open while running, closed when done". Survives reload, within bounds.
 *
 * @import { JsonStorage } from "../../client/storage.js"
 */

const LIMIT = 500;
const SESSIONS = 100;

export class Folds {
  #storage;
  #key;
  /** @type {Map<string, boolean>} */
  #chosen;

  /**
   * @param {JsonStorage} storage
   * @param {string} sessionId
   */
  constructor(storage, sessionId) {
    this.#storage = storage;
    this.#key = `folds:${sessionId}`;
    this.#chosen = new Map(storage.list(this.#key));
    for (const old of storage.keys("folds:").slice(SESSIONS)) storage.set(old, null);
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
    this.#storage.set(this.#key, [...this.#chosen]);
  }
}
