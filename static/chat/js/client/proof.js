/**
 * Proof that what is held is what is stored: the digest of every finished step.
 *
 * @import { Run, Step } from "./types.js"
 * @import { Conversation } from "./conversation.js"
 */

import { writable } from "./store.js";

/**
 * @typedef {object} Proven
 * @property {number} steps whose digests agree
 * @property {number} wrong how many do not
 * @property {boolean} isPossible browsers hash only on https and localhost
 */

export class Proof {
  #conversation;
  #digest;
  #onWrong;
  /** @type {Map<string, string>} step → the digest that it was last checked against */
  #checked = new Map();
  /** @type {Set<string>} */
  #agreed = new Set();
  /** @type {Map<string, string>} step → the digest that did not agree */
  #wrong = new Map();
  /** @type {Promise<void>} */
  #work = Promise.resolve();

  /**
   * @param {Conversation} conversation
   * @param {((text: string) => Promise<string>) | null} digest null: not possible here
   * @param {(run: number) => void} onWrong
   */
  constructor(conversation, digest, onWrong) {
    this.#conversation = conversation;
    this.#digest = digest;
    this.#onWrong = onWrong;
    this.state = writable(this.#now());
  }

  /**
   * Check what has finished in a run since the last check.
   * @param {number} number
   */
  check(number) {
    const run = this.#conversation.get(number);
    if (!run || !this.#digest) return;
    for (const step of run.steps) {
      const key = keyOf(run, step);
      const { digest } = step;
      if (digest === undefined || this.#checked.get(key) === digest) continue;
      this.#checked.set(key, digest);
      this.#work = this.#work.then(() => this.#checkStep(run, step, key));
    }
  }

  /** When all checks asked for so far are done. */
  settled() {
    return this.#work;
  }

  /**
   * @param {Run} run
   * @param {Step} step
   * @param {string} key
   */
  async #checkStep(run, step, key) {
    const { content, digest = "" } = step;
    if ((await this.#digest?.(content)) === digest) {
      this.#agreed.add(key);
      this.#wrong.delete(key);
    } else {
      this.#disagree(run.run, key, digest);
    }
    this.state.set(this.#now());
  }

  /**
   * Have the run fetched afresh, once: what is stored may be wrong itself.
   * @param {number} run
   * @param {string} key
   * @param {string} digest
   */
  #disagree(run, key, digest) {
    const isNews = this.#wrong.get(key) !== digest;
    this.#agreed.delete(key);
    this.#wrong.set(key, digest);
    if (!isNews) return;
    this.#checked.delete(key);
    this.#onWrong(run);
  }

  /** @returns {Proven} */
  #now() {
    return {
      steps: this.#agreed.size,
      wrong: this.#wrong.size,
      isPossible: this.#digest !== null,
    };
  }
}

/**
 * @param {Run} run
 * @param {Step} step
 */
function keyOf(run, step) {
  return `${run.run}:${step.step}`;
}

/**
 * SHA-256 in lowercase hex, where the browser has it.
 * @param {SubtleCrypto | undefined} subtle
 */
export function sha256(subtle) {
  if (!subtle) return null;
  /** @param {string} text */
  return async (text) => {
    const hash = await subtle.digest("SHA-256", new TextEncoder().encode(text));
    return [...new Uint8Array(hash)]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
  };
}
