/**
 * Proof that what is held is what is stored: the digest of every finished step.
 *
 * @import { Run, Step } from "../types.js"
 * @import { Conversation } from "./conversation.js"
 */

import { writable } from "./store.js";

/**
 * @typedef {object} Proven
 * @property {number} steps whose digests agree
 * @property {number} wrong how many did not, ever
 * @property {boolean} isPossible browsers hash only on https and localhost
 */

export class Proof {
  #conversation;
  #digest;
  #onWrong;
  /** @type {Map<string, string>} step → the digest that agreed */
  #agreed = new Map();
  /** @type {Promise<void>} */
  #work = Promise.resolve();
  #wrong = 0;

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
      if (this.#isDue(run, step)) {
        this.#agreed.set(keyOf(run, step), step.digest ?? "");
        this.#work = this.#work.then(() => this.#checkStep(run, step));
      }
    }
  }

  /** When all checks asked for so far are done. */
  settled() {
    return this.#work;
  }

  /**
   * @param {Run} run
   * @param {Step} step
   */
  #isDue(run, step) {
    return (
      step.digest !== undefined && this.#agreed.get(keyOf(run, step)) !== step.digest
    );
  }

  /**
   * @param {Run} run
   * @param {Step} step
   */
  async #checkStep(run, step) {
    const digest = await this.#digest?.(step.content);
    if (digest !== step.digest) {
      this.#agreed.delete(keyOf(run, step));
      this.#wrong += 1;
      this.#onWrong(run.run);
    }
    this.state.set(this.#now());
  }

  /** @returns {Proven} */
  #now() {
    return {
      steps: this.#agreed.size,
      wrong: this.#wrong,
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
