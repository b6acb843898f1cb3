/**
 * One quiet line about the connection: live, coming back, offline, signed out.
 *
 * @import { Clock, Connection, Intents, Readable } from "../types.js"
 * @import { Proven } from "../model/proof.js"
 */

import { CLOSE } from "../protocol.js";
import { setText } from "./dom.js";

/**
 * @typedef {object} Needs
 * @property {Readable<Connection>} connection
 * @property {Readable<Proven>} proof
 * @property {() => boolean} isOnline
 * @property {Clock} clock
 * @property {Intents} intents
 * @property {string} loginUrl
 */

/** @typedef {{ tone: "live" | "wait" | "off", text: string, seconds?: number, action?: "now" | "login" | "reload" }} Words */

/** @type {Record<string, string>} */
const ACTIONS = { now: "Now", login: "Sign in", reload: "Reload" };

/** @type {Record<number, Words>} */
const FINAL = {
  [CLOSE.notSignedIn]: { tone: "off", text: "Signed out", action: "login" },
  [CLOSE.noSuchSession]: {
    tone: "off",
    text: "There is no such session for you",
    action: "reload",
  },
  [CLOSE.forbidden]: { tone: "off", text: "Not allowed here" },
  [CLOSE.notThisProtocol]: {
    tone: "off",
    text: "This page is out of date",
    action: "reload",
  },
};

export class ConnectionLine {
  #root;
  #text;
  #seconds;
  #button;
  #needs;
  /** @type {unknown} */
  #timer = null;

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  constructor(root, needs) {
    this.#root = root;
    this.#needs = needs;
    this.#text = /** @type {HTMLElement} */ (root.querySelector("[data-text]"));
    this.#seconds = /** @type {HTMLElement} */ (root.querySelector("[data-seconds]"));
    this.#button = /** @type {HTMLButtonElement} */ (root.querySelector("button"));
    this.#button.addEventListener("click", () => this.#pressed());
    needs.connection.subscribe(() => this.update());
    needs.proof.subscribe(() => this.update());
  }

  update() {
    const { clock, connection } = this.#needs;
    clock.clearTimeout(this.#timer);
    const words = this.#words();
    this.#root.dataset.tone = words.tone;
    setText(this.#text, words.text);
    setText(this.#seconds, words.seconds ? ` in ${words.seconds} s` : "");
    this.#button.hidden = !words.action;
    this.#button.dataset.what = words.action ?? "";
    setText(this.#button, ACTIONS[words.action ?? ""] ?? "");
    if (connection.get().retryAt !== null) {
      this.#timer = clock.setTimeout(() => this.update(), 500);
    }
  }

  /** @returns {Words} */
  #words() {
    const { connection, isOnline } = this.#needs;
    const { state, code, final } = connection.get();
    if (final) return FINAL[code] ?? { tone: "off", text: "Disconnected" };
    if (state === "connected") return { tone: "live", text: this.#liveWords() };
    if (!isOnline()) return { tone: "off", text: "Offline", action: "now" };
    if (state === "connecting") return { tone: "wait", text: "Connecting…" };
    return this.#waitingWords();
  }

  #liveWords() {
    const { steps, wrong, isPossible } = this.#needs.proof.get();
    return isPossible && steps > 0 && wrong === 0 ? "Live, in sync" : "Live";
  }

  /** @returns {Words} */
  #waitingWords() {
    const { clock, connection } = this.#needs;
    const { retryAt } = connection.get();
    if (retryAt === null) return { tone: "wait", text: "Disconnected", action: "now" };
    const seconds = Math.ceil((retryAt - clock.now()) / 1000);
    if (seconds < 1) return { tone: "wait", text: "Reconnecting…" };
    return { tone: "wait", text: "Reconnecting", seconds, action: "now" };
  }

  #pressed() {
    this.#text.focus(); // the button is about to go
    switch (this.#button.dataset.what) {
      case "login":
        location.assign(
          `${this.#needs.loginUrl}?next=${encodeURIComponent(location.pathname)}`,
        );
        break;
      case "reload":
        location.reload();
        break;
      default:
        this.#needs.intents.reconnect();
    }
  }
}
