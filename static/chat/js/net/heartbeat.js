/**
 * The watch is not the wire: knows pings and silence, and says when the wire is dead.
 *
 * @import { Clock } from "../types.js"
 */

const ANSWER_MS = 10_000;

/** Longer than any timer is late by itself: the machine slept. */
const SLEPT_MS = 5_000;

export class Heartbeat {
  #clock;
  #interval;
  #ping;
  #dead;
  /** @type {unknown} */
  #timer = null;
  /** @type {number | null} */
  #waitingSince = null;

  /**
   * @param {object} needs
   * @param {Clock} needs.clock
   * @param {number} needs.interval milliseconds between pings
   * @param {() => void} needs.ping send one
   * @param {() => void} needs.dead nothing came back in time
   */
  constructor({ clock, interval, ping, dead }) {
    this.#clock = clock;
    this.#interval = interval;
    this.#ping = ping;
    this.#dead = dead;
  }

  start() {
    this.stop();
    this.#sleep(this.#interval);
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    this.#waitingSince = null;
  }

  /** Something came: the wire lives. */
  heard() {
    if (this.#timer === null || this.#waitingSince === null) return;
    this.start();
  }

  /** Ask now, for a page that was away; harmless while one is under way. */
  check() {
    if (this.#timer === null || this.#waitingSince !== null) return;
    this.#beat();
  }

  #beat() {
    this.#clock.clearTimeout(this.#timer);
    this.#waitingSince = this.#clock.now();
    this.#ping();
    this.#sleep(ANSWER_MS);
  }

  /** @param {number} ms */
  #sleep(ms) {
    const due = this.#clock.now() + ms;
    this.#timer = this.#clock.setTimeout(() => this.#wake(due), ms);
  }

  /** @param {number} due */
  #wake(due) {
    if (this.#waitingSince === null) return this.#beat();
    // The machine slept while we waited: the answer may be in the queue. Ask again.
    if (this.#clock.now() - due > SLEPT_MS) return this.#beat();
    this.stop();
    this.#dead();
  }
}
