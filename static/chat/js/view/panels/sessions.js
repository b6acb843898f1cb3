/**
 * The sessions: found by words, grouped by day, each with its state and what can be done
 * with it.
 *
 * @import { SessionRow, SessionsState } from "../../client/types.js"
 * @import { Sessions } from "../../client/sessions.js"
 */

import { noticeText } from "../../words/notices.js";
import { button, byId, delegate, h, setChildren } from "../dom.js";
import { groupedByDay } from "../sessions/by_day.js";
import { SessionRowView } from "../sessions/row.js";

/**
 * @typedef {object} Needs
 * @property {Sessions} sessions
 * @property {(panel: SessionsPanel) => void} requestPaint
 * @property {string} sessionId the one that is open
 * @property {string} chatUrl
 * @property {string} sessionsUrl
 * @property {() => number} now
 */

export class SessionsPanel {
  #needs;
  /** @type {Map<string, SessionRowView>} */
  #rows = new Map();
  /** @type {Map<string, { element: HTMLElement, list: HTMLElement }>} */
  #groups = new Map();
  #list = h("div", { class: "chats__list" });
  #note = h("p", { class: "chats__note" });
  #more = button("Show more", "more");
  #archive = button("Archived chats", "archive-view");
  #search = /** @type {HTMLInputElement} */ (byId("search"));

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  constructor(root, needs) {
    this.#needs = needs;
    root.replaceChildren(this.#list, this.#note, this.#more, this.#archive);
    const { sessions } = needs;
    this.#search.addEventListener("input", () => sessions.search(this.#search.value));
    closeMenusElsewhere(this.#list);
    delegate(root, {
      more: () => sessions.more(),
      "archive-view": () => sessions.showArchive(!sessions.state.get().isArchived),
    });
    sessions.state.subscribe(() => needs.requestPaint(this));
    this.update();
  }

  update() {
    const state = this.#needs.sessions.state.get();
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
    const view = this.#rows.get(row.session_id) ?? new SessionRowView(row, this.#needs);
    this.#rows.set(row.session_id, view);
    view.update(row);
    return view.element;
  }
}

/**
 * A press anywhere but in an open menu closes it, and so does what scrolls it away.
 * @param {HTMLElement} list
 */
function closeMenusElsewhere(list) {
  /** @param {(menu: Element) => boolean} isLeft */
  const close = (isLeft) => {
    for (const menu of list.querySelectorAll("details[open]")) {
      if (isLeft(menu)) menu.removeAttribute("open");
    }
  };
  document.addEventListener("pointerdown", ({ target }) => {
    close((menu) => target instanceof Node && !menu.contains(target));
  });
  const scrolled = (/** @type {Event} */ { target }) =>
    close((menu) => target instanceof Node && target.contains(menu));
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
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
  if (error) return noticeText(error);
  if (rows.length > 0 || !isLoaded) return "";
  if (query) return "Nothing found.";
  return isArchived ? "The archive is empty." : "Your chats will be listed here.";
}
