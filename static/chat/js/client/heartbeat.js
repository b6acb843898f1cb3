/**
 * The watch is not the wire: knows pings and silence, and says when the wire is in doubt
 * and when it is dead.
 *
 * @import { Clock } from "./types.js"
 */

const ANSWER_MS = 10_000;

/** An answer that takes longer than this is not taken for granted any more. */
const DOUBT_MS = 2_000;

/** Longer than any timer is late by itself: the machine slept. */
const SLEPT_MS = 5_000;

export class Heartbeat {
  #clock;
  #interval;
  #ping;
  #dead;
  #doubted;
  /** @type {unknown} */
  #timer = null;
  /** @type {unknown} */
  #doubtTimer = null;
  #isInDoubt = false;
  /** @type {number | null} */
  #waitingSince = null;

  /**
   * @param {object} needs
   * @param {Clock} needs.clock
   * @param {number} needs.interval milliseconds between pings
   * @param {() => void} needs.ping send one
   * @param {() => void} needs.dead nothing came back in time
   * @param {(isInDoubt: boolean) => void} needs.doubted told of changes
   */
  constructor({ clock, interval, ping, dead, doubted }) {
    this.#clock = clock;
    this.#interval = interval;
    this.#ping = ping;
    this.#dead = dead;
    this.#doubted = doubted;
  }

  start() {
    this.stop();
    this.#sleep(this.#interval);
  }

  stop() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    this.#clock.clearTimeout(this.#doubtTimer);
    this.#waitingSince = null;
    this.#isInDoubt = false;
  }

  /** Something came: the wire lives. */
  heard() {
    if (this.#timer === null || this.#waitingSince === null) return;
    const wasInDoubt = this.#isInDoubt;
    this.start();
    if (wasInDoubt) this.#doubted(false);
  }

  /** Ask now, for a page that was away; harmless while one is under way. */
  check() {
    if (this.#timer === null || this.#waitingSince !== null) return;
    this.#beat();
  }

  /** There is a reason to think that the wire is dead: ask, and doubt it until then. */
  doubt() {
    if (this.#timer === null) return;
    this.check();
    // The answer may have come within the call.
    if (this.#waitingSince !== null) this.#beInDoubt();
  }

  #beat() {
    this.#clock.clearTimeout(this.#timer);
    this.#clock.clearTimeout(this.#doubtTimer);
    this.#waitingSince = this.#clock.now();
    this.#doubtTimer = this.#clock.setTimeout(() => this.#beInDoubt(), DOUBT_MS);
    this.#sleep(ANSWER_MS);
    this.#ping();
  }

  #beInDoubt() {
    if (this.#isInDoubt) return;
    this.#isInDoubt = true;
    this.#doubted(true);
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
