/**
 * One command awaiting its answer: sent, then settled once, by ok, error or time.
 *
 * @import { Clock } from "./types.js"
 */

/** Milliseconds after which no answer is one. */
export const ANSWER_MS = 15_000;

/** @typedef {"ok" | "error" | "timeout"} Outcome */

export class Push {
  #clock;
  /** @type {unknown} */
  #timer;
  /** @type {((outcome: Outcome, detail: unknown) => void) | null} */
  #settled;

  /**
   * @param {Clock} clock
   * @param {number} timeout milliseconds
   * @param {(outcome: Outcome, detail: unknown) => void} settled called once
   */
  constructor(clock, timeout, settled) {
    this.#clock = clock;
    this.#settled = settled;
    this.#timer = clock.setTimeout(() => this.settle("timeout"), timeout);
  }

  get isPending() {
    return this.#settled !== null;
  }

  /**
   * @param {Outcome} outcome
   * @param {unknown} [detail]
   */
  settle(outcome, detail) {
    const settled = this.#settled;
    this.cancel();
    settled?.(outcome, detail);
  }

  /** Forget it: nobody is told. */
  cancel() {
    this.#clock.clearTimeout(this.#timer);
    this.#settled = null;
  }
}
