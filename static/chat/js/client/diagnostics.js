/**
 * What happened on the wire, for people who report a bug: counts, and the last changes.
 *
 * @import { Clock, Report } from "./types.js"
 */

const LINES = 200;

/** @typedef {{ at: number, kind: string, detail: string }} Line */

export class Diagnostics {
  #clock;
  /** @type {Line[]} */
  lines = [];
  counts = {
    sent: 0,
    frames: 0,
    received: 0,
    doubles: 0,
    gaps: 0,
    healed: 0,
    joins: 0,
  };
  /** Milliseconds from the last ping to its answer. */
  latency = 0;
  #pingedAt = 0;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** @param {() => void} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @type {Report} */
  report = (kind, detail = {}) => {
    this.#count(kind, detail);
    if (kind !== "frame" && kind !== "sent") this.#note(kind, detail);
    for (const listener of [...this.#listeners]) listener();
  };

  /**
   * @param {string} kind
   * @param {Record<string, unknown>} detail
   */
  #count(kind, detail) {
    switch (kind) {
      case "frame":
        this.counts.frames += 1;
        this.counts.received += Number(detail.size);
        if (detail.type === "pong") this.latency = this.#clock.now() - this.#pingedAt;
        break;
      case "sent":
        this.counts.sent += 1;
        if (detail.type === "ping") this.#pingedAt = this.#clock.now();
        if (detail.type === "subscribe") this.counts.joins += 1;
        break;
      case "doubles":
        this.counts.doubles += Number(detail.count);
        break;
      case "gap":
        this.counts.gaps += 1;
        break;
      case "healed":
        this.counts.healed += 1;
        break;
    }
  }

  /**
   * @param {string} kind
   * @param {Record<string, unknown>} detail
   */
  #note(kind, detail) {
    const words = Object.entries(detail)
      .filter(([, value]) => value !== 0 && value !== "")
      .map(([name, value]) => (name === kind ? value : `${name} ${value}`));
    this.lines.push({ at: this.#clock.now(), kind, detail: words.join(", ") });
    if (this.lines.length > LINES) this.lines.shift();
  }
}
