/**
 * Where people write: grows with its text, keeps drafts, knows when Enter is not Enter.
 *
 * @import { Agent } from "../types.js"
 * @import { ChatClient } from "../client/chat_client.js"
 * @import { JsonStorage } from "../client/storage.js"
 * @import { Drafts } from "./drafts.js"
 */

import { MAX_MESSAGE_CHARS } from "../client/protocol.js";
import { byId, setText } from "./dom.js";
import { isComposing } from "./shortcuts.js";

/**
 * @typedef {object} Needs
 * @property {ChatClient} client
 * @property {JsonStorage} storage
 * @property {Drafts} drafts
 * @property {Agent[]} agents
 */

/** The tallest it grows, in pixels; then it scrolls. */
const TALLEST = 240;

/** From this length on it is said how long the message is. */
const NEARLY = MAX_MESSAGE_CHARS * 0.9;

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
    this.#text.value = begun(needs.drafts.text, this.#text.value);
    this.#reasoning.checked = needs.storage.get("reasoning") ?? true;
    this.#listen();
    this.#describe();
    this.#grow();
    this.update();
    needs.client.runs.subscribe(() => this.update());
    this.#takeOver();
  }

  /** Until now first_paint.js has looked after it: was Enter pressed meanwhile? */
  #takeOver() {
    const { dataset } = this.#form;
    const wasAsked = dataset.asked !== undefined;
    dataset.ready = "";
    if (wasAsked) this.#submit();
  }

  /** What is asked besides the text. */
  get #options() {
    return {
      agent_name: this.#agent.value,
      enable_reasoning: this.#reasoning.checked,
    };
  }

  /**
   * Ask with the agent that is chosen here.
   * @param {string} message
   */
  ask(message) {
    return this.#needs.client.ask(message, this.#options);
  }

  /** Stop is there while something runs. */
  update() {
    this.#stop.hidden = !this.#needs.client.runs.active;
    this.#form.classList.toggle("has-text", this.#text.value.trim() !== "");
    this.#send.disabled = this.#text.value.trim() === "" || this.#isTooLong;
  }

  focus() {
    this.#text.focus();
  }

  /** The focus is going to be lost: take it, unless that would raise a keyboard. */
  rest() {
    if (!isTouch()) this.focus();
    else byId("scroller").focus({ preventScroll: true });
  }

  /**
   * Put text before what is being written: a withdrawn message comes back here.
   * @param {string} text
   */
  offer(text) {
    const draft = this.#text.value.trim();
    this.#set(draft ? `${text}\n\n${draft}` : text);
    this.focus();
  }

  #listen() {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#edited());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#stop.addEventListener("click", () => this.#stopActive());
    this.#agent.addEventListener("change", () => this.#describe());
    this.#reasoning.addEventListener("change", () => {
      this.#needs.storage.set("reasoning", this.#reasoning.checked);
    });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    // A keyboard on the screen has one Enter, and there is a button to send.
    if (isTouch() && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    // Half a character (a lone surrogate) is nothing that could be sent or stored.
    const message = this.#text.value.trim().replace(/\p{Cs}/gu, "\ufffd");
    if (message === "" || this.#isTooLong) return;
    if (this.ask(message)) this.#set("");
    this.focus();
  }

  #stopActive() {
    this.#needs.client.stop();
    this.focus(); // the button is about to go
  }

  /** @param {string} text */
  #set(text) {
    this.#text.value = text;
    this.#edited();
  }

  #edited() {
    this.#needs.drafts.keep(this.#text.value);
    this.#describe();
    this.#grow();
    this.update();
  }

  /** As the server counts: characters, not UTF-16 units. */
  get #length() {
    const { length } = this.#text.value;
    return length < NEARLY ? length : [...this.#text.value.trim()].length;
  }

  get #isTooLong() {
    return this.#length > MAX_MESSAGE_CHARS;
  }

  /** What there is to know: how long the message may be, or what the agent does. */
  #describe() {
    const agent = this.#needs.agents.find(({ name }) => name === this.#agent.value);
    const length = this.#length;
    const counts = [length, MAX_MESSAGE_CHARS].map((n) => n.toLocaleString("en"));
    const count = `${this.#isTooLong ? "Too long: " : ""}${counts.join(" of ")} characters`;
    setText(this.#hint, length < NEARLY ? (agent?.description ?? "") : count);
    this.#hint.classList.toggle("is-wrong", this.#isTooLong);
    this.#text.ariaInvalid = String(this.#isTooLong);
  }

  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(TALLEST, this.#text.scrollHeight)}px`;
  }
}

/** Is a finger what people point with here? */
function isTouch() {
  return matchMedia("(pointer: coarse)").matches;
}

/**
 * What the field begins with: the draft, and what was typed before the script was there.
 * @param {string} draft
 * @param {string} typed
 */
function begun(draft, typed) {
  if (!draft || typed.startsWith(draft)) return typed;
  return typed ? `${draft}\n\n${typed}` : draft;
}
