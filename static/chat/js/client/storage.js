/**
 * What a browser keeps for somebody, as JSON: who signs in next at this machine does not
 * see it. Never fails: where the browser's storage is full or forbidden, things are kept
 * as long as the page.
 */

export class JsonStorage {
  /** @type {Storage | null} */
  #storage = null;
  /** @type {Map<string, unknown>} what could not be stored */
  #unsaved = new Map();
  #prefix;

  /**
   * @param {() => Storage} open throws where it is forbidden
   * @param {string} [owner] whose things these are
   */
  constructor(open, owner = "") {
    this.#prefix = owner && `${owner}/`;
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
      return JSON.parse(this.#storage?.getItem(this.#prefix + key) ?? "null");
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
      if (value === null) this.#storage?.removeItem(this.#prefix + key);
      else if (!this.#storage) this.#unsaved.set(key, value);
      else this.#storage.setItem(this.#prefix + key, JSON.stringify(value));
    } catch {
      this.#unsaved.set(key, value);
    }
  }

  /**
   * Take over what somebody has kept: a guest who has signed in goes on writing.
   * @param {JsonStorage} other
   * @param {string[]} prefixes
   */
  adopt(other, prefixes) {
    for (const key of prefixes.flatMap((prefix) => other.keys(prefix))) {
      if (this.get(key) !== null) continue;
      this.set(key, other.get(key));
      other.set(key, null);
    }
  }

  /** @param {string} prefix */
  keys(prefix) {
    const found = new Set(this.#unsaved.keys());
    for (let index = 0; index < (this.#storage?.length ?? 0); index += 1) {
      const key = this.#storage?.key(index) ?? "";
      if (key.startsWith(this.#prefix)) found.add(key.slice(this.#prefix.length));
    }
    return [...found].filter((key) => key.startsWith(prefix));
  }
}
