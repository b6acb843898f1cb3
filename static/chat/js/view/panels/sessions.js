/**
 * The sessions: found by words, grouped by day, each with its state and what can be done
 * with it.
 *
 * @import { Panel, Readable, SessionRow, SessionsState } from "../../types.js"
 * @import { Looked } from "../../model/session_list.js"
 */

import { groupedByDay } from "../../model/session_list.js";
import { delegate, h, setChildren } from "../dom.js";
import { SessionRowView } from "../sessions/row.js";

/**
 * @typedef {object} SessionIntents
 * @property {(query: string) => void} search
 * @property {(isArchived: boolean) => void} showArchive
 * @property {() => void} more
 * @property {(id: string, fields: { title?: string, pinned?: boolean, archived?: boolean }) => void} change
 * @property {(id: string) => void} remove
 */

/**
 * @typedef {object} Needs
 * @property {Readable<SessionsState>} state
 * @property {SessionIntents} intents
 * @property {(panel: Panel<any>) => void} requestPaint
 * @property {Looked} looked
 * @property {string} sessionId the one that is open
 * @property {string} chatUrl
 * @property {() => number} now
 */

/** @implements {Panel<Needs>} */
export class SessionsPanel {
  title = "Chats";
  /** @type {Needs | null} */
  #needs = null;
  /** @type {Map<string, SessionRowView>} */
  #rows = new Map();
  /** @type {Map<string, { element: HTMLElement, list: HTMLElement }>} */
  #groups = new Map();
  #list = h("div", { class: "sessions__list" });
  #note = h("p", { class: "sessions__note" });
  #more = h(
    "button",
    { type: "button", class: "quiet", "data-action": "more" },
    "Show more",
  );
  #archive = h("button", {
    type: "button",
    class: "quiet",
    "data-action": "archive-view",
  });
  #search = h("input", {
    type: "search",
    class: "sessions__search",
    placeholder: "Search chats",
    "aria-label": "Search chats",
    oninput: () => this.#needs?.intents.search(this.#search.value),
  });
  /** @type {(() => void)[]} */
  #undo = [];

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  mount(root, needs) {
    this.#needs = needs;
    root.replaceChildren(
      this.#search,
      this.#list,
      this.#note,
      this.#more,
      this.#archive,
    );
    this.#undo = [
      needs.state.subscribe(() => needs.requestPaint(this)),
      closeMenusElsewhere(this.#list),
      delegate(root, {
        more: () => needs.intents.more(),
        "archive-view": () => needs.intents.showArchive(!needs.state.get().isArchived),
      }),
    ];
    this.update();
  }

  update() {
    if (!this.#needs) return;
    const state = this.#needs.state.get();
    const groups = groupedByDay(state.rows, this.#needs.now());
    keepingFocus(this.#list, () =>
      setChildren(
        this.#list,
        groups.map(({ heading, rows }) => this.#groupOf(heading, rows)),
      ),
    );
    this.#more.hidden = !state.hasMore;
    this.#archive.textContent = state.isArchived ? "Back to chats" : "Archived chats";
    this.#note.textContent = noteFor(state);
    this.#note.hidden = this.#note.textContent === "";
  }

  unmount() {
    for (const undo of this.#undo) undo();
    this.#list.parentElement?.replaceChildren();
  }

  /** Put the keyboard into the search. */
  focus() {
    this.#search.focus();
  }

  /**
   * @param {string} heading
   * @param {SessionRow[]} rows
   */
  #groupOf(heading, rows) {
    const group = this.#groups.get(heading) ?? newGroup(heading);
    this.#groups.set(heading, group);
    setChildren(
      group.list,
      rows.map((row) => this.#rowOf(row)),
    );
    return group.element;
  }

  /** @param {SessionRow} row */
  #rowOf(row) {
    const needs = /** @type {Needs} */ (this.#needs);
    const view = this.#rows.get(row.session_id) ?? new SessionRowView(row, needs);
    this.#rows.set(row.session_id, view);
    view.update(row);
    return view.element;
  }
}

/**
 * A press anywhere but in an open menu closes it.
 * @param {HTMLElement} list
 * @returns {() => void} stop that
 */
function closeMenusElsewhere(list) {
  /** @param {PointerEvent} event */
  const listener = ({ target }) => {
    for (const menu of list.querySelectorAll("details[open]")) {
      if (target instanceof Node && !menu.contains(target))
        menu.removeAttribute("open");
    }
  };
  document.addEventListener("pointerdown", listener);
  return () => document.removeEventListener("pointerdown", listener);
}

/**
 * What has the focus keeps it when it is moved; what takes its place gets it when it is
 * removed.
 * @param {HTMLElement} list
 * @param {() => void} change
 */
function keepingFocus(list, change) {
  const { activeElement: focused } = document;
  const rows = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll("li")]);
  const at = rows().findIndex((row) => row.contains(focused));
  change();
  if (at < 0 || document.activeElement === focused) return;
  const neighbour = rows()[Math.min(at, rows().length - 1)];
  const next = focused?.isConnected ? focused : neighbour?.querySelector("a");
  if (next instanceof HTMLElement) next.focus();
}

/** @param {string} heading */
function newGroup(heading) {
  const list = h("ul", {});
  return { element: h("section", {}, h("h3", {}, heading), list), list };
}

/** @param {SessionsState} state */
function noteFor({ rows, error, query, isArchived, isLoaded }) {
  if (error) return error;
  if (rows.length > 0 || !isLoaded) return "";
  if (query) return "Nothing found.";
  return isArchived ? "The archive is empty." : "Your chats will be listed here.";
}
