/**
 * One quiet line about the connection: live, coming back, offline, signed out.
 *
 * @import { ChatClient } from "../client/chat_client.js"
 * @import { Clock } from "../client/types.js"
 */

import { lineWords } from "../words/line.js";
import { setText } from "./dom.js";

/** @type {Record<string, string>} */
const ACTIONS = {
  now: "Reconnect now",
  login: "Sign in",
  reload: "Reload",
  restore: "Restore",
  new: "New chat",
};

export class ConnectionLine {
  #root;
  #text;
  #seconds;
  #button;
  #client;
  #clock;
  #loginUrl;
  #newChatUrl;
  /** @type {unknown} */
  #timer = null;

  /**
   * @param {HTMLElement} root
   * @param {object} needs
   * @param {ChatClient} needs.client
   * @param {Clock} needs.clock
   * @param {string} needs.loginUrl
   * @param {string} needs.newChatUrl
   */
  constructor(root, { client, clock, loginUrl, newChatUrl }) {
    this.#root = root;
    this.#client = client;
    this.#clock = clock;
    this.#loginUrl = loginUrl;
    this.#newChatUrl = newChatUrl;
    this.#text = /** @type {HTMLElement} */ (root.querySelector("[data-text]"));
    this.#seconds = /** @type {HTMLElement} */ (root.querySelector("[data-seconds]"));
    this.#button = /** @type {HTMLButtonElement} */ (root.querySelector(".btn"));
    this.#button.addEventListener("click", () => this.#pressed());
    client.line.subscribe(() => this.update());
    client.session.subscribe(() => this.update());
    client.proof.state.subscribe(({ steps, wrong }) => {
      root.dataset.proof = proofOf(steps, wrong);
    });
  }

  update() {
    this.#clock.clearTimeout(this.#timer);
    const line = this.#client.line.get();
    const hasRuns = this.#client.runs.runs.length > 0;
    const notice = this.#client.session.get().notice?.text;
    const words = lineWords(line, this.#clock.now(), hasRuns, notice);
    const { tone, text, seconds, action } = words;
    this.#root.dataset.tone = tone;
    setText(this.#text, text);
    setText(this.#seconds, seconds ? ` in ${seconds} s` : "");
    this.#button.hidden = !action;
    this.#button.dataset.what = action ?? "";
    this.#root.toggleAttribute("data-offers", Boolean(action));
    setText(this.#button, ACTIONS[action ?? ""] ?? "");
    if (seconds) this.#timer = this.#clock.setTimeout(() => this.update(), 500);
  }

  #pressed() {
    this.#text.focus(); // the button is about to go
    switch (this.#button.dataset.what) {
      case "login":
        location.assign(
          `${this.#loginUrl}?next=${encodeURIComponent(location.pathname)}`,
        );
        break;
      case "reload":
        location.reload();
        break;
      case "restore":
        this.#client.restore();
        break;
      case "new":
        location.assign(this.#newChatUrl);
        break;
      default:
        this.#client.connect();
    }
  }
}

/**
 * @param {number} steps whose digests agree
 * @param {number} wrong
 */
function proofOf(steps, wrong) {
  if (wrong > 0) return "wrong";
  return steps > 0 ? "agrees" : "";
}
