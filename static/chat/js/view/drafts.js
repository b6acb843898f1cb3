/**
 * What is half written in each chat; it survives leaving the page, and signing in.
 *
 * A new chat has another id at every load, until something is asked in it: the tab knows
 * the last one, whose draft moves on. Two tabs with a new chat have a draft each.
 *
 * @import { JsonStorage } from "../client/storage.js"
 */

const NEW = "new-chat";

/** So many are kept; then the oldest go. */
const LIMIT = 200;

/** @typedef {{ text: string, at: number }} Draft `at`: milliseconds, when it was changed */

export class Drafts {
  #storage;
  #tabStorage;
  #key;
  #now;

  /**
   * @param {object} needs
   * @param {JsonStorage} needs.storage
   * @param {JsonStorage} needs.tabStorage
   * @param {string} needs.sessionId
   * @param {boolean} needs.isNew is it the page of a new chat?
   * @param {() => number} needs.now milliseconds
   */
  constructor({ storage, tabStorage, sessionId, isNew, now }) {
    this.#storage = storage;
    this.#tabStorage = tabStorage;
    this.#key = `draft:${sessionId}`;
    this.#now = now;
    if (isNew) this.#moveOn(sessionId);
  }

  /** @returns {string} */
  get text() {
    return this.#draft(this.#key)?.text ?? "";
  }

  /** @param {string} text "": there is none any more */
  keep(text) {
    this.#storage.set(this.#key, text ? { text, at: this.#now() } : null);
    this.#dropOldest();
  }

  /**
   * Begin the next new chat with this text.
   * @param {string} text
   * @param {string} id a new one
   */
  beginNew(text, id) {
    this.#storage.set(`draft:${id}`, { text, at: this.#now() });
    this.#tabStorage.set(NEW, id);
  }

  /** Something was asked here: it is a new chat no longer. */
  asked() {
    this.#tabStorage.set(NEW, null);
  }

  /** @param {string} sessionId */
  #moveOn(sessionId) {
    const last = this.#tabStorage.get(NEW);
    this.#tabStorage.set(NEW, sessionId);
    const draft = this.#draft(`draft:${last}`);
    if (!draft || last === sessionId) return;
    this.#storage.set(this.#key, draft);
    this.#storage.set(`draft:${last}`, null);
  }

  #dropOldest() {
    const keys = this.#storage.keys("draft:");
    if (keys.length <= LIMIT) return;
    const byAge = keys.sort((a, b) => this.#age(a) - this.#age(b));
    for (const key of byAge.slice(LIMIT)) this.#storage.set(key, null);
  }

  /** @param {string} key */
  #age(key) {
    return this.#now() - (this.#draft(key)?.at ?? 0);
  }

  /**
   * @param {string} key
   * @returns {Draft | null}
   */
  #draft(key) {
    const draft = this.#storage.get(key);
    return typeof draft?.text === "string" ? draft : null;
  }
}
