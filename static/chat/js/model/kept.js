/**
 * What a browser keeps for the page, as JSON. Never fails: where the browser's storage
 * is full or forbidden, things are kept as long as the page.
 */

export class Kept {
  /** @type {Storage | null} */
  #storage = null;
  /** @type {Map<string, unknown>} what could not be stored */
  #unsaved = new Map();

  /** @param {() => Storage} open throws where it is forbidden */
  constructor(open) {
    try {
      this.#storage = open();
    } catch {
      // Then all of it is kept as long as the page.
    }
  }

  /**
   * What was kept; null for nothing, and for what is not JSON.
   * @param {string} key
   * @returns {any}
   */
  get(key) {
    if (this.#unsaved.has(key)) return this.#unsaved.get(key);
    try {
      return JSON.parse(this.#storage?.getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /**
   * The same, if it is a list.
   * @param {string} key
   * @returns {any[]}
   */
  list(key) {
    const value = this.get(key);
    return Array.isArray(value) ? value : [];
  }

  /**
   * @param {string} key
   * @param {unknown} value null: nothing any more
   */
  set(key, value) {
    this.#unsaved.delete(key);
    try {
      if (value === null) this.#storage?.removeItem(key);
      else if (this.#storage) this.#storage.setItem(key, JSON.stringify(value));
      else this.#unsaved.set(key, value);
    } catch {
      this.#unsaved.set(key, value);
    }
  }

  /** @param {string} prefix */
  keys(prefix) {
    const found = new Set(this.#unsaved.keys());
    for (let index = 0; index < (this.#storage?.length ?? 0); index += 1) {
      found.add(this.#storage?.key(index) ?? "");
    }
    return [...found].filter((key) => key.startsWith(prefix));
  }
}
