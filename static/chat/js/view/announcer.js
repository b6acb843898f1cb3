/**
 * Says step boundaries to screen readers, politely; never tokens. What happens at nearly
 * the same time is said at once: a text replaced too soon is never heard.
 *
 * @import { Clock, Run, Step } from "../client/types.js"
 * @import { Conversation } from "../client/conversation.js"
 */

import { announcementOf, endingOf } from "../words/summary.js";

const GATHER_MS = 200;

export class Announcer {
  #root;
  #conversation;
  #clock;
  /** @type {string[]} */
  #due = [];
  /** @type {Map<string, string>} what was last said of each step and run */
  #said = new Map();

  /**
   * @param {HTMLElement} root a polite live region
   * @param {Conversation} conversation
   * @param {Clock} clock
   */
  constructor(root, conversation, clock) {
    this.#root = root;
    this.#conversation = conversation;
    this.#clock = clock;
    for (const run of conversation.runs) this.#look(run, () => {});
  }

  /**
   * Something changed in a run: say what a listener should know.
   * @param {number} number
   */
  changed(number) {
    const run = this.#conversation.get(number);
    if (!run) return;
    const isOld = !this.#said.has(`${number}`) && run.status === "finished";
    this.#look(run, isOld ? () => {} : (text) => this.say(text));
  }

  /** @param {string} text */
  say(text) {
    this.#due.push(text);
    if (this.#due.length > 1) return;
    this.#clock.setTimeout(() => {
      this.#root.textContent = this.#due.join(" ");
      this.#due = [];
    }, GATHER_MS);
  }

  /**
   * @param {Run} run
   * @param {(text: string) => void} say
   */
  #look(run, say) {
    for (const step of run.steps) this.#lookAtStep(run, step, say);
    if (this.#isNews(`${run.run}`, run.status) && run.status === "finished") {
      say(`${endingOf(run)}. ${run.error?.message ?? ""}`);
    }
  }

  /**
   * @param {Run} run
   * @param {Step} step
   * @param {(text: string) => void} say
   */
  #lookAtStep(run, step, say) {
    const phase = `${step.type} ${step.status === "running"}`;
    if (!this.#isNews(`${run.run}:${step.step}`, phase)) return;
    const text = announcementOf(step);
    if (text) say(text);
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  #isNews(key, value) {
    if (this.#said.get(key) === value) return false;
    this.#said.set(key, value);
    return true;
  }
}
