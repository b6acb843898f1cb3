/**
 * One session in the list: a link, its state, and a menu.
 *
 * @import { SessionRow } from "../../client/types.js"
 * @import { Liveness } from "../../client/read_marks.js"
 * @import { Needs } from "../panels/sessions.js"
 */

import { delegate, h, icon, menuItem, setLabel, setText } from "../dom.js";
import { placeMenu } from "../menu.js";
import { isComposing } from "../shortcuts.js";

/** @type {Record<Liveness, string>} */
const WORDS = {
  running: "answering",
  queued: "waiting its turn",
  failed: "failed since you looked",
  new: "finished since you looked",
  idle: "",
};

export class SessionRowView {
  #needs;
  #row;
  #state = h("span", { class: "state" });
  #said = h("span", { class: "only-read" });
  #title = h("span", { class: "chat__title", dir: "auto" });
  #pin = menuItem("Pin", "icon-pin", "pin");
  #archive = menuItem("Archive", "icon-archive", "archive");
  #menu;
  #link;

  /**
   * @param {SessionRow} row
   * @param {Needs} needs
   */
  constructor(row, needs) {
    this.#needs = needs;
    this.#row = row;
    const isOpen = row.session_id === needs.sessionId;
    this.#link = h(
      "a",
      {
        href: `${needs.chatUrl}${row.session_id}`,
        "aria-current": isOpen ? "page" : undefined,
      },
      this.#title,
      this.#said,
      this.#state,
    );
    this.#menu = this.#buildMenu();
    const place = isOpen ? "chat is-open" : "chat";
    this.element = h("li", { class: place }, this.#link, this.#menu);
    delegate(this.#menu, this.#handlers());
  }

  /** @param {SessionRow} row */
  update(row) {
    this.#row = row;
    const liveness = this.#needs.sessions.livenessOf(row);
    this.#state.dataset.state = liveness;
    setText(this.#said, WORDS[liveness] && ` (${WORDS[liveness]})`);
    setText(this.#title, row.title || "Untitled");
    this.#link.title = row.title;
    setLabel(this.#pin, row.pinned ? "Unpin" : "Pin");
    setLabel(this.#archive, row.archived ? "Take out of archive" : "Archive");
    const label = `Actions for ${row.title || "untitled chat"}`;
    this.#menu.querySelector("summary")?.setAttribute("aria-label", label);
  }

  #buildMenu() {
    const items = [
      menuItem("Rename", "icon-pencil", "rename"),
      this.#pin,
      this.#archive,
      this.#exportAs("markdown", "Export as Markdown"),
      this.#exportAs("json", "Export as JSON"),
      h("hr"),
      menuItem("Delete", "icon-trash-2", "delete", { class: "is-danger" }),
    ];
    const list = h("div", { class: "menu menu--row" }, ...items);
    const drawing = icon("icon-ellipsis");
    const opener = h("summary", { class: "icon-btn chat__menu" }, drawing);
    const menu = h("details", { class: "chat__more" }, opener, list);
    menu.addEventListener("toggle", () => {
      if (menu.open) placeMenu(list, opener);
    });
    // Not at every focusout: Safari does not focus the button that is pressed.
    menu.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget instanceof Node && !menu.contains(relatedTarget)) {
        menu.open = false;
      }
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      event.stopPropagation();
      this.#close();
    });
    return menu;
  }

  /**
   * @param {string} format
   * @param {string} label
   */
  #exportAs(format, label) {
    const address = `${this.#needs.sessionsUrl}/${this.#row.session_id}/export`;
    const link = { href: `${address}?as=${format}`, download: "" };
    const item = h("a", link, icon("icon-download"), label);
    item.addEventListener("click", () => this.#close());
    return item;
  }

  /** @returns {Record<string, () => void>} */
  #handlers() {
    const { sessions } = this.#needs;
    return {
      rename: () => this.#rename(),
      pin: () =>
        this.#act(() =>
          sessions.change(this.#row.session_id, { pinned: !this.#row.pinned }),
        ),
      archive: () =>
        this.#act(() =>
          sessions.change(this.#row.session_id, { archived: !this.#row.archived }),
        ),
      delete: () => this.#act(() => sessions.remove(this.#row.session_id)),
    };
  }

  /** @param {() => void} act */
  #act(act) {
    this.#close();
    act();
  }

  #close() {
    this.#menu.open = false;
    this.#menu.querySelector("summary")?.focus();
  }

  #rename() {
    this.#menu.open = false;
    const input = h("input", {
      "aria-label": "New title",
      value: this.#row.title,
      maxlength: 200,
    });
    let isOver = false;
    /** @param {boolean} isKept */
    const end = (isKept) => {
      if (isOver) return; // taking it out of the page blurs it
      isOver = true;
      const title = input.value.trim();
      input.replaceWith(this.#link);
      this.#link.focus();
      if (isKept && title && title !== this.#row.title) {
        this.#needs.sessions.change(this.#row.session_id, { title });
      }
    };
    input.addEventListener("keydown", (event) => {
      if (isComposing(event)) return;
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
    // The list may move the row, which blurs the field for a moment.
    input.addEventListener("blur", () =>
      setTimeout(() => document.activeElement === input || end(true)),
    );
    this.#link.replaceWith(input);
    input.select();
  }
}
