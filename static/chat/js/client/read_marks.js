/**
 * The last end of an answer that somebody has seen in each session, in this browser; by
 * the server's clock.
 *
 * @import { SessionRow } from "./types.js"
 * @import { JsonStorage } from "./storage.js"
 */

const KEY = "looked";
const LIMIT = 500;

/** @typedef {"running" | "queued" | "failed" | "new" | "idle"} Liveness */

export class ReadMarks {
  #storage;
  /** Read once, not for every row. @type {Map<string, number> | null} */
  #marks = null;

  /** @param {JsonStorage} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** @param {SessionRow} row somebody looks at it now */
  note({ session_id, finished }) {
    if (this.#all().get(session_id) === (finished ?? 0)) return;
    this.#set(session_id, finished ?? 0);
  }

  /** @param {string} sessionId something was asked there, and its end is yet to be seen */
  expect(sessionId) {
    if (!this.#all().has(sessionId)) this.#set(sessionId, 0);
  }

  /** Another tab may have changed the storage. */
  refresh() {
    this.#marks = null;
  }

  /**
   * @param {SessionRow} row
   * @returns {Liveness}
   */
  livenessOf(row) {
    if (row.status !== "idle") return row.status;
    const mark = this.#all().get(row.session_id);
    const isNew = mark !== undefined && (row.finished ?? 0) > mark;
    if (isNew && row.reason === "failed") return "failed";
    return isNew ? "new" : "idle";
  }

  /**
   * @param {string} sessionId
   * @param {number} finished
   */
  #set(sessionId, finished) {
    this.refresh();
    const marks = this.#all();
    marks.delete(sessionId);
    marks.set(sessionId, finished);
    this.#storage.set(KEY, [...marks].slice(-LIMIT));
  }

  #all() {
    if (!this.#marks) {
      /** @type {any[]} */
      const stored = this.#storage.list(KEY).filter(Array.isArray);
      this.#marks = new Map(stored);
    }
    return this.#marks;
  }
}
