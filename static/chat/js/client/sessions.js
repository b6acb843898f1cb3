/**
 * The list of sessions, kept up to date over HTTP.
 *
 * @import {
 *   Clock, Notice, SessionChange, SessionRow, SessionsState, Writable,
 * } from "./types.js"
 * @import { Api } from "./api.js"
 * @import { ReadMarks } from "./read_marks.js"
 * @import { JsonStorage } from "./storage.js"
 */

import { ApiError } from "./api.js";
import { writable } from "./store.js";

const TYPING_MS = 250;
const EVERY_MS = 15_000;
const CACHE = "sessions";
const DELETED = "deleted";

/** Rows that come at a time. */
const PAGE = 50;

/** The most rows that the server gives at once. */
const MAX_PAGE = 500;

/**
 * @typedef {object} Needs
 * @property {Api} api
 * @property {Clock} clock
 * @property {JsonStorage} tabStorage the last list, to show at once on the next page
 * @property {ReadMarks} readMarks
 * @property {() => boolean} isVisible
 * @property {(notice: Notice) => void} notify
 * @property {() => void} onUnreachable a request got no answer
 * @property {(id: string, change: SessionChange) => void} onChanged also by an undo
 */

export class Sessions {
  #needs;
  #next = /** @type {string | null} */ (null);
  #asked = 0;
  /** So many rows somebody has asked to see. */
  #shown = PAGE;
  /** @type {unknown} */
  #typing = null;
  /** Set from `start` on. @type {unknown} */
  #repeating = null;
  /** @type {Writable<SessionsState>} */
  state = writable({
    rows: /** @type {SessionRow[]} */ ([]),
    hasMore: false,
    isArchived: false,
    query: "",
    error: /** @type {Notice | null} */ (null),
    isLoaded: false,
  });

  /** @param {Needs} needs */
  constructor(needs) {
    this.#needs = needs;
    this.#set({ rows: needs.tabStorage.list(CACHE) });
  }

  /** Load, and load again every so often while somebody looks. */
  start() {
    this.#tellOfDeletion();
    this.load();
    this.#repeat();
  }

  stop() {
    this.#needs.clock.clearTimeout(this.#repeating);
    this.#needs.clock.clearTimeout(this.#typing);
    this.#repeating = null;
  }

  #repeat() {
    this.#repeating = this.#needs.clock.setTimeout(() => {
      if (this.#needs.isVisible()) this.load();
      this.#repeat();
    }, EVERY_MS);
  }

  /** Something changed that the list shows. */
  refresh() {
    if (this.#repeating !== null) this.#soon();
  }

  /** @param {string} query */
  search(query) {
    this.#shown = PAGE;
    this.#set({ query });
    this.#soon();
  }

  #soon() {
    this.#needs.clock.clearTimeout(this.#typing);
    this.#typing = this.#needs.clock.setTimeout(() => this.load(), TYPING_MS);
  }

  /** @param {boolean} isArchived */
  showArchive(isArchived) {
    this.#shown = PAGE;
    this.#set({ isArchived, rows: [], isLoaded: false });
    this.load();
  }

  /** The list from its beginning, as far as it is shown. */
  async load() {
    await this.#list([], null, Math.max(PAGE, this.#shown));
  }

  async more() {
    if (!this.#next) return;
    this.#shown = this.state.get().rows.length + PAGE;
    await this.#list(this.state.get().rows, this.#next, this.#shown);
  }

  /** @param {SessionRow} row */
  livenessOf(row) {
    return this.#needs.readMarks.livenessOf(row);
  }

  /**
   * Shown at once, and taken back if the server does not take it.
   * @param {string} id
   * @param {SessionChange} change
   */
  async change(id, change) {
    const before = this.#find(id);
    this.#patch(id, change);
    this.#needs.onChanged(id, change);
    const isDone = await this.#try(() => this.#needs.api.change(id, change));
    if (!isDone && before) this.#needs.onChanged(id, valuesOf(before, change));
    await this.load();
  }

  /**
   * True if it is done; then `restore` would undo it.
   * @param {string} id
   */
  async remove(id) {
    const row = this.#find(id);
    this.#set({ rows: this.state.get().rows.filter((each) => each !== row) });
    const isDone = await this.#try(() => this.#needs.api.remove(id));
    if (isDone) this.#needs.notify(deletionOf(id, row?.title));
    else await this.load();
    return isDone;
  }

  /** @param {string} id */
  async restore(id) {
    const isDone = await this.#try(() => this.#needs.api.restore(id));
    await this.load();
    return isDone;
  }

  /**
   * Bring a session from a file that was exported as JSON.
   * @param {Blob} file
   * @returns {Promise<string | null>} its id; null: it could not be, and a notice says why
   */
  async bring(file) {
    let id = null;
    await this.#try(async () => {
      id = (await this.#needs.api.bring(file)).session_id;
    });
    return id;
  }

  /**
   * The page that says this is left: say it on the next one.
   * @param {string} id
   * @param {string} title
   */
  tellOfDeletionLater(id, title) {
    this.#needs.tabStorage.set(DELETED, { id, title });
  }

  #tellOfDeletion() {
    const { tabStorage, notify } = this.#needs;
    const deleted = tabStorage.get(DELETED);
    tabStorage.set(DELETED, null);
    if (deleted) notify(deletionOf(deleted.id, deleted.title));
  }

  /** @param {string} id */
  #find(id) {
    return this.state.get().rows.find((row) => row.session_id === id);
  }

  /**
   * Show `rows` and what comes after them, until there are `wanted`.
   * @param {SessionRow[]} rows
   * @param {string | null} before where they end
   * @param {number} wanted
   */
  async #list(rows, before, wanted) {
    this.#asked += 1;
    const asked = this.#asked;
    const { query, isArchived } = this.state.get();
    try {
      const found = await this.#fetch(rows, before, wanted);
      if (asked !== this.#asked) return;
      this.#next = found.next;
      const hasMore = found.next !== null;
      this.#set({ rows: found.rows, hasMore, error: null, isLoaded: true });
      if (!query && !isArchived) this.#keep(found.rows);
    } catch (error) {
      const notice = this.#noticeOf(error);
      if (asked === this.#asked) this.#set({ error: notice, isLoaded: true });
    }
  }

  /**
   * @param {SessionRow[]} rows
   * @param {string | null} before
   * @param {number} wanted
   * @returns {Promise<{ rows: SessionRow[], next: string | null }>}
   */
  async #fetch(rows, before, wanted) {
    const { query: q, isArchived: archived } = this.state.get();
    const limit = Math.min(MAX_PAGE, wanted - rows.length);
    const { sessions, next } = await this.#needs.api.list({
      q,
      archived,
      limit,
      before,
    });
    const all = withoutDoubles([...rows, ...sessions]);
    const isMissing = all.length < wanted && all.length > rows.length;
    return next && isMissing ? this.#fetch(all, next, wanted) : { rows: all, next };
  }

  /** @param {() => Promise<unknown>} act */
  async #try(act) {
    try {
      await act();
      return true;
    } catch (error) {
      this.#needs.notify(this.#noticeOf(error));
      return false;
    }
  }

  /**
   * @param {unknown} error
   * @returns {Notice}
   */
  #noticeOf(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === "unreachable") this.#needs.onUnreachable();
    return { code: error.code, message: error.message };
  }

  /**
   * @param {string} id
   * @param {SessionChange} change
   */
  #patch(id, change) {
    const rows = this.state
      .get()
      .rows.map((row) => (row.session_id === id ? { ...row, ...change } : row));
    this.#set({ rows });
  }

  /** @param {Partial<SessionsState>} fields */
  #set(fields) {
    this.state.set({ ...this.state.get(), ...fields });
  }

  /** @param {SessionRow[]} rows */
  #keep(rows) {
    this.#needs.tabStorage.set(CACHE, rows.slice(0, PAGE));
  }
}

/**
 * A chat that something was said in between two pages is on both.
 * @param {SessionRow[]} rows
 */
function withoutDoubles(rows) {
  return [...new Map(rows.map((row) => [row.session_id, row])).values()];
}

/**
 * @param {string} session_id
 * @param {string} [title]
 * @returns {Notice}
 */
function deletionOf(session_id, title = "") {
  return { code: "session_deleted", session_id, title };
}

/**
 * What the row has where the change would have something else.
 * @param {SessionRow} row
 * @param {SessionChange} change
 * @returns {SessionChange}
 */
function valuesOf(row, change) {
  const names = /** @type {(keyof SessionChange)[]} */ (Object.keys(change));
  return Object.fromEntries(names.map((name) => [name, row[name]]));
}
