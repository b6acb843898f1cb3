/**
 * What the list of sessions shows, kept up to date over HTTP.
 *
 * @import { Clock, Offer, SessionRow, SessionsState, Writable } from "../types.js"
 * @import { Kept } from "../model/kept.js"
 * @import { Api } from "./api.js"
 */

import { writable } from "../model/store.js";

const TYPING_MS = 250;
const EVERY_MS = 15_000;
const CACHE = "sessions";
const DELETED = "deleted";

/**
 * @typedef {object} Needs
 * @property {Api} api
 * @property {Clock} clock
 * @property {Kept} kept by this tab: the last list, to show at once on the next page
 * @property {() => boolean} isVisible
 * @property {(text: string, offer?: Offer) => void} say
 * @property {(id: string, title: string) => void} onRemoved
 */

export class Sessions {
  #needs;
  #next = /** @type {string | null} */ (null);
  #asked = 0;
  /** @type {unknown} */
  #typing = null;
  /** @type {Writable<SessionsState>} */
  state = writable({
    rows: /** @type {SessionRow[]} */ ([]),
    hasMore: false,
    isArchived: false,
    query: "",
    error: "",
    isLoaded: false,
  });

  /** @param {Needs} needs */
  constructor(needs) {
    this.#needs = needs;
    this.#set({ rows: needs.kept.list(CACHE) });
  }

  /** Load, and load again every so often while somebody looks. */
  start() {
    this.#offerEarlierUndo();
    this.load();
    this.#needs.clock.setTimeout(() => this.#again(), EVERY_MS);
  }

  #again() {
    if (this.#needs.isVisible() && this.state.get().rows.length <= 50) this.load();
    this.#needs.clock.setTimeout(() => this.#again(), EVERY_MS);
  }

  /** Something changed that the list shows. */
  refresh() {
    this.#soon();
  }

  /** @param {string} query */
  search(query) {
    this.#set({ query });
    this.#soon();
  }

  #soon() {
    this.#needs.clock.clearTimeout(this.#typing);
    this.#typing = this.#needs.clock.setTimeout(() => this.load(), TYPING_MS);
  }

  /** @param {boolean} isArchived */
  showArchive(isArchived) {
    this.#set({ isArchived, rows: [], isLoaded: false });
    this.load();
  }

  /** The list from its beginning. */
  async load() {
    await this.#list(null, () => []);
  }

  async more() {
    if (this.#next) await this.#list(this.#next, () => this.state.get().rows);
  }

  /**
   * @param {string} id
   * @param {{ title?: string, pinned?: boolean, archived?: boolean }} fields
   */
  async change(id, fields) {
    this.#patch(id, fields);
    await this.#try(() => this.#needs.api.change(id, fields));
    await this.load();
  }

  /** @param {string} id */
  async remove(id) {
    const row = this.state.get().rows.find((each) => each.session_id === id);
    this.#set({ rows: this.state.get().rows.filter((each) => each !== row) });
    const isDone = await this.#try(() => this.#needs.api.remove(id));
    if (!isDone) return this.load();
    this.#offerUndo(id, row?.title ?? "", true);
    this.#needs.onRemoved(id, row?.title ?? "");
  }

  /**
   * The page of a deleted session is left: offer to undo that on the next one.
   * @param {string} id
   * @param {string} title
   */
  undoOnNextPage(id, title) {
    this.#needs.kept.set(DELETED, { id, title });
  }

  #offerEarlierUndo() {
    const deleted = this.#needs.kept.get(DELETED);
    this.#needs.kept.set(DELETED, null);
    if (deleted) this.#offerUndo(deleted.id, deleted.title);
  }

  /**
   * @param {string} id
   * @param {string} title
   * @param {boolean} [isFocused]
   */
  #offerUndo(id, title, isFocused = false) {
    const offer = { label: "Undo", act: () => this.#restore(id), isFocused };
    this.#needs.say(`Deleted “${title || "Untitled"}”.`, offer);
  }

  /** @param {string} id */
  async #restore(id) {
    await this.#try(() => this.#needs.api.restore(id));
    await this.load();
  }

  /**
   * @param {string | null} before
   * @param {() => SessionRow[]} kept
   */
  async #list(before, kept) {
    this.#asked += 1;
    const asked = this.#asked;
    const { query: q, isArchived: archived } = this.state.get();
    try {
      const { sessions, next } = await this.#needs.api.list({ q, archived, before });
      if (asked !== this.#asked) return;
      this.#next = next;
      const rows = [...kept(), ...sessions];
      this.#set({ rows, hasMore: next !== null, error: "", isLoaded: true });
      if (!q && !archived && !before) this.#keep(sessions);
    } catch (error) {
      if (asked === this.#asked) this.#set({ error: wordsOf(error), isLoaded: true });
    }
  }

  /** @param {() => Promise<unknown>} act */
  async #try(act) {
    try {
      await act();
      return true;
    } catch (error) {
      this.#needs.say(wordsOf(error));
      return false;
    }
  }

  /**
   * @param {string} id
   * @param {Partial<SessionRow>} fields
   */
  #patch(id, fields) {
    const rows = this.state
      .get()
      .rows.map((row) => (row.session_id === id ? { ...row, ...fields } : row));
    this.#set({ rows });
  }

  /** @param {Partial<SessionsState>} fields */
  #set(fields) {
    this.state.set({ ...this.state.get(), ...fields });
  }

  /** @param {SessionRow[]} rows */
  #keep(rows) {
    this.#needs.kept.set(CACHE, rows.slice(0, 50));
  }
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : "Something went wrong.";
}
