/**
 * Where people write: grows with its text, keeps drafts, knows when Enter is not Enter.
 *
 * @import { Agent, Intents, KeyValue } from "../types.js"
 * @import { Conversation } from "../model/conversation.js"
 */

import { MAX_MESSAGE_CHARS } from "../protocol.js";
import { byId, setText } from "./dom.js";

/**
 * @typedef {object} Needs
 * @property {Conversation} conversation
 * @property {Intents} intents
 * @property {KeyValue} storage
 * @property {string} sessionId
 * @property {Agent[]} agents
 */

/** The tallest it grows, in pixels; then it scrolls. */
const TALLEST = 240;

export class Composer {
  #needs;
  #form = /** @type {HTMLFormElement} */ (byId("composer"));
  #text = /** @type {HTMLTextAreaElement} */ (byId("message"));
  #agent = /** @type {HTMLSelectElement} */ (byId("agent"));
  #reasoning = /** @type {HTMLInputElement} */ (byId("reasoning"));
  #send = /** @type {HTMLButtonElement} */ (byId("send"));
  #stop = byId("stop");
  #hint = byId("agent-hint");

  /** @param {Needs} needs */
  constructor(needs) {
    this.#needs = needs;
    this.#text.value ||= needs.storage.getItem(this.#draftKey) ?? "";
    this.#reasoning.checked = needs.storage.getItem("reasoning") !== "off";
    this.#listen();
    this.#describeAgent();
    this.#grow();
    this.update();
    needs.conversation.subscribe(() => this.update());
  }

  /** What is asked besides the text. */
  get options() {
    return {
      agent_name: this.#agent.value,
      enable_reasoning: this.#reasoning.checked,
    };
  }

  /** Stop is there while something runs. */
  update() {
    this.#stop.hidden = !this.#needs.conversation.active;
    this.#send.disabled = this.#text.value.trim() === "";
  }

  focus() {
    this.#text.focus();
  }

  /**
   * Put text into an empty composer: a withdrawn message comes back here.
   * @param {string} text
   */
  offer(text) {
    if (this.#text.value.trim() === "") this.#set(text);
    this.focus();
  }

  get #draftKey() {
    return `draft:${this.#needs.sessionId}`;
  }

  #listen() {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#edited());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#stop.addEventListener("click", () => this.#stopActive());
    this.#agent.addEventListener("change", () => this.#describeAgent());
    this.#reasoning.addEventListener("change", () => {
      const value = this.#reasoning.checked ? "on" : "off";
      this.#needs.storage.setItem("reasoning", value);
    });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    // 229: Safari ends a composition with an Enter that is not one.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    }
  }

  #submit() {
    // Half a character (a lone surrogate) is nothing that could be sent or stored.
    const message = this.#text.value.trim().replace(/\p{Cs}/gu, "\ufffd");
    if (message === "" || [...message].length > MAX_MESSAGE_CHARS) return;
    this.#needs.intents.send(message);
    this.#set("");
    this.focus();
  }

  #stopActive() {
    const { active } = this.#needs.conversation;
    if (active) this.#needs.intents.stop(active.run);
  }

  /** @param {string} text */
  #set(text) {
    this.#text.value = text;
    this.#edited();
  }

  #edited() {
    const { storage } = this.#needs;
    const text = this.#text.value;
    if (text) storage.setItem(this.#draftKey, text);
    else storage.removeItem(this.#draftKey);
    const isLong = text.length > MAX_MESSAGE_CHARS;
    this.#text.setCustomValidity(isLong ? "This message is too long." : "");
    this.#describeLength(text.length);
    this.#grow();
    this.update();
  }

  /** @param {number} length */
  #describeLength(length) {
    if (length < MAX_MESSAGE_CHARS * 0.9) return this.#describeAgent();
    const counts = [length, MAX_MESSAGE_CHARS].map((n) => n.toLocaleString("en"));
    setText(this.#hint, `${counts.join(" of ")} characters`);
  }

  #describeAgent() {
    const agent = this.#needs.agents.find(({ name }) => name === this.#agent.value);
    setText(this.#hint, agent?.description ?? "");
  }

  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(TALLEST, this.#text.scrollHeight)}px`;
  }
}
