/**
 * Sends what waits in the outbox, one message after the other, each until it is accepted.
 *
 * @import { Clock, Command, ServerError } from "./types.js"
 * @import { Outbox } from "./outbox.js"
 * @import { Outcome } from "./push.js"
 */

import { ANSWER_MS, Push } from "./push.js";
import { backoff } from "./reconnect.js";

/** A server that refuses for now is not asked again sooner than this. */
const LEAST_MS = 1_000;

/**
 * @typedef {object} Needs
 * @property {{ send: (command: Command) => boolean, isConnected: boolean }} socket
 * @property {Outbox} outbox
 * @property {Clock} clock
 * @property {() => number} random
 */

export class Sender {
  #needs;
  /** @type {{ clientId: string, push: Push } | null} */
  #asking = null;
  /** Refusals in a row. */
  #refusals = 0;
  /** @type {unknown} set while the server wants us to be slower */
  #later = null;

  /** @param {Needs} needs */
  constructor(needs) {
    this.#needs = needs;
  }

  /** Send the oldest message that waits, unless one is on its way. */
  flush() {
    if (this.#asking || this.#later || !this.#needs.socket.isConnected) return;
    const item = this.#needs.outbox.next;
    if (!item) return;
    const { at: _at, delay: _delay, ...payload } = item;
    const push = new Push(this.#needs.clock, ANSWER_MS, (outcome, detail) =>
      this.#answered(item.client_id, outcome, detail),
    );
    this.#asking = { clientId: item.client_id, push };
    this.#needs.socket.send({ type: "chat", payload });
  }

  /** @param {string} clientId */
  accepted(clientId) {
    this.#needs.outbox.accept(clientId);
    if (this.#asking?.clientId === clientId) this.#asking.push.settle("ok");
  }

  /**
   * Was the error about the message that was sent? Then it is dealt with.
   * @param {ServerError} error
   */
  refused(error) {
    if (!this.#asking || error.client_id !== this.#asking.clientId) return false;
    this.#asking.push.settle("error", error);
    return true;
  }

  /** The line is gone, and with it the answer. */
  forget() {
    this.#asking?.push.cancel();
    this.#asking = null;
  }

  /**
   * @param {string} clientId
   * @param {Outcome} outcome
   * @param {unknown} detail
   */
  #answered(clientId, outcome, detail) {
    this.#asking = null;
    if (outcome === "error") {
      this.#refuse(clientId, /** @type {ServerError} */ (detail));
    } else {
      this.#refusals = 0;
      this.flush();
    }
  }

  /**
   * For good; or for now: then it is sent again in a while, before what waits after it.
   * @param {string} clientId
   * @param {ServerError} error
   */
  #refuse(clientId, { code, message, retryable, retry_after }) {
    const { outbox } = this.#needs;
    if (retryable) {
      outbox.delay(clientId, { code, message });
      return this.#waitFor(retry_after);
    }
    outbox.refuse(clientId, { code, message });
    this.flush();
  }

  /** @param {number | undefined} seconds as the server says; else longer every time */
  #waitFor(seconds) {
    const { clock, random } = this.#needs;
    const ms = LEAST_MS + backoff(this.#refusals + 2, random);
    this.#refusals += 1;
    this.#later = clock.setTimeout(
      () => {
        this.#later = null;
        this.flush();
      },
      seconds === undefined ? ms : seconds * 1000,
    );
  }
}
