/**
 * The tab says what goes on in it: a running answer, or one that ended unseen.
 *
 * @import { Conversation } from "../client/conversation.js"
 */

const SITE = "Reasoning Site";

export class PageTitle {
  #conversation;
  #icon = /** @type {HTMLLinkElement | null} */ (
    document.querySelector("link[rel=icon]")
  );
  #title = "";
  #wasRunning = false;
  #isUnseen = false;

  /** @param {Conversation} conversation */
  constructor(conversation) {
    this.#conversation = conversation;
    conversation.subscribe(() => this.update());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#isUnseen = false;
      this.update();
    });
  }

  /** @param {string} title of the session */
  set(title) {
    this.#title = title;
    this.update();
  }

  update() {
    const isRunning = this.#conversation.active !== undefined;
    if (this.#wasRunning && !isRunning && document.visibilityState === "hidden") {
      this.#isUnseen = true;
    }
    this.#wasRunning = isRunning;
    const name = this.#title ? `${this.#title} · ${SITE}` : SITE;
    const state = this.#stateOf(isRunning);
    const mark = { running: "▸ ", done: "✓ ", idle: "" }[state];
    if (document.title !== mark + name) document.title = mark + name;
    this.#show(state);
  }

  /** @param {boolean} isRunning */
  #stateOf(isRunning) {
    if (isRunning) return "running";
    return this.#isUnseen ? "done" : "idle";
  }

  /** @param {"running" | "done" | "idle"} state */
  #show(state) {
    const href = this.#icon?.dataset[state];
    if (this.#icon && href && this.#icon.getAttribute("href") !== href) {
      this.#icon.href = href;
    }
  }
}
