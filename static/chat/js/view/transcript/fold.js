/**
 * Which cards a reader opened or closed; what the reader did not touch follows the rule
 * "open while running, closed when done". Survives reload, within bounds.
 *
 * @import { KeyValue } from "../../types.js"
 */

const LIMIT = 500;

export class Folds {
  #storage;
  #key;
  /** @type {Map<string, boolean>} */
  #chosen;

  /**
   * @param {KeyValue} storage
   * @param {string} sessionId
   */
  constructor(storage, sessionId) {
    this.#storage = storage;
    this.#key = `folds:${sessionId}`;
    this.#chosen = new Map(read(storage, this.#key));
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
    const kept = [...this.#chosen].slice(-LIMIT);
    this.#chosen = new Map(kept);
    try {
      this.#storage.setItem(this.#key, JSON.stringify(kept));
    } catch {
      // Kept as long as the page.
    }
  }
}

/**
 * @param {KeyValue} storage
 * @param {string} key
 * @returns {[string, boolean][]}
 */
function read(storage, key) {
  try {
    const value = JSON.parse(storage.getItem(key) ?? "[]");
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
