/**
 * Sends what waits in the outbox, one message after the other, each until it is accepted.
 *
 * @import { Clock, Command, ServerError } from "../types.js"
 * @import { Outbox } from "./outbox.js"
 */

import { ANSWER_MS, Push } from "./push.js";

/**
 * @typedef {object} Needs
 * @property {{ send: (command: Command) => boolean, isConnected: boolean }} socket
 * @property {Outbox} outbox
 * @property {Clock} clock
 * @property {(error: ServerError) => void} onError
 */

export class Sender {
  #needs;
  /** @type {{ clientId: string, push: Push } | null} */
  #asking = null;
  /** @type {unknown} set while the server wants us to be slower */
  #later = null;

  /** @param {Needs} needs */
  constructor(needs) {
    this.#needs = needs;
  }

  /** Send the oldest message that waits, unless one is on its way. */
  flush() {
    if (this.#asking || this.#later || !this.#needs.socket.isConnected) return;
    const item = this.#needs.outbox.items.get().find((waiting) => !waiting.error);
    if (!item) return;
    const { at: _at, ...payload } = item;
    const push = new Push(this.#needs.clock, ANSWER_MS, (outcome, detail) =>
      this.#answered(item.client_id, outcome, detail),
    );
    this.#asking = { clientId: item.client_id, push };
    this.#needs.socket.send({ type: "chat", payload });
  }

  /** @param {string} clientId */
  accepted(clientId) {
    this.#needs.outbox.remove(clientId);
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
   * @param {import("./push.js").Outcome} outcome
   * @param {unknown} detail
   */
  #answered(clientId, outcome, detail) {
    this.#asking = null;
    if (outcome === "error") {
      this.#refuse(clientId, /** @type {ServerError} */ (detail));
    } else {
      this.flush();
    }
  }

  /**
   * @param {string} clientId
   * @param {ServerError} error
   */
  #refuse(clientId, error) {
    if (error.retry_after !== undefined) {
      // "Too fast": wait as told, then go on; nobody has to press anything.
      this.#later = this.#needs.clock.setTimeout(() => {
        this.#later = null;
        this.flush();
      }, error.retry_after * 1000);
      this.#needs.onError(error);
      return;
    }
    this.#needs.outbox.refuse(clientId, error.message);
    this.flush();
  }
}
