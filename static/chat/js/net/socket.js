/**
 * The connection: disconnected, connecting or connected, each with a code and a reason,
 * and coming back by itself.
 *
 * @import {
 *   Clock, Command, Connection, Readable, Report, ServerMessage, WireSocket,
 *   WireSocketClass, Writable,
 * } from "../types.js"
 */

import { writable } from "../model/store.js";
import { CLOSE, decode, encode, isFinal } from "../protocol.js";
import { backoff, busyBackoff } from "./backoff.js";
import { Heartbeat } from "./heartbeat.js";

const OPEN_TIMEOUT_MS = 15_000;

/** How often to try while the browser says that there is no network. */
const OFFLINE_MS = 20_000;

/** Attempts made by a page nobody looks at, before it waits to be looked at. */
const HIDDEN_ATTEMPTS = 8;

/**
 * @typedef {object} SocketNeeds
 * @property {string} url
 * @property {WireSocketClass} WebSocket
 * @property {Clock} clock
 * @property {() => number} random
 * @property {number} heartbeat milliseconds between pings
 * @property {() => boolean} isVisible
 * @property {() => boolean} isOnline
 * @property {Report} report
 * @property {() => void} onOpen
 * @property {(message: ServerMessage) => void} onMessage
 */

export class Socket {
  #needs;
  #heartbeat;
  /** @type {WireSocket | null} */
  #wire = null;
  /** @type {unknown} */
  #timer = null;
  #attempt = 0;
  /** @type {Writable<Connection>} */
  #connection = writable({
    state: "disconnected",
    code: 0,
    reason: "not started",
    retryAt: null,
    final: false,
  });

  /** @param {SocketNeeds} needs */
  constructor(needs) {
    this.#needs = needs;
    this.#heartbeat = new Heartbeat({
      clock: needs.clock,
      interval: needs.heartbeat,
      ping: () => this.#ping(),
      dead: () => this.#lost(CLOSE.lost, "no answer to a ping"),
    });
  }

  /** @returns {Readable<Connection>} */
  get connection() {
    return this.#connection;
  }

  get isConnected() {
    return this.#connection.get().state === "connected";
  }

  /** Connect now, whatever was planned; no-op while connected or connecting. */
  connect(reason = "asked") {
    if (this.#wire) return;
    this.#cancelTimer();
    this.#become({ state: "connecting", code: 0, reason });
    this.#open();
  }

  /** The page is back (visible, online): do not wait, and doubt what we have. */
  wake(reason = "back") {
    if (this.#wire) this.#heartbeat.check();
    else if (!this.#connection.get().final) this.connect(reason);
  }

  /** The network is gone, says the browser: believe it, but only after asking. */
  doubt() {
    this.#heartbeat.check();
  }

  /** @param {Command} command @returns {boolean} whether it went out */
  send(command) {
    if (!this.isConnected || !this.#wire) return false;
    const text = encode(command);
    this.#wire.send(text);
    this.#needs.report("sent", { type: command.type, size: text.length });
    return true;
  }

  /** For good: the page is going away. */
  close(reason = "closed") {
    this.#cancelTimer();
    this.#drop();
    this.#become({ state: "disconnected", code: CLOSE.normal, reason, final: true });
  }

  #open() {
    const wire = new this.#needs.WebSocket(this.#needs.url);
    this.#wire = wire;
    const mine = () => this.#wire === wire;
    wire.onopen = () => mine() && this.#opened();
    wire.onmessage = ({ data }) => mine() && this.#received(data);
    wire.onclose = ({ code, reason }) => mine() && this.#lost(code, reason);
    this.#timer = this.#needs.clock.setTimeout(
      () => this.#lost(CLOSE.lost, "opening took too long"),
      OPEN_TIMEOUT_MS,
    );
  }

  #opened() {
    this.#cancelTimer();
    this.#become({ state: "connected", code: 0, reason: "open" });
    this.#heartbeat.start();
    this.#needs.onOpen();
  }

  /** @param {unknown} text */
  #received(text) {
    this.#heartbeat.heard();
    const message = decode(text);
    if (!message) return this.#needs.report("unreadable frame");
    // Proof that the server is well: only now does backing off start over.
    this.#attempt = 0;
    this.#needs.report("frame", { type: message.type, size: String(text).length });
    this.#needs.onMessage(message);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    this.#drop();
    this.#cancelTimer();
    if (isFinal(code)) {
      this.#become({ state: "disconnected", code, reason, final: true });
      return;
    }
    this.#retryLater(code, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #retryLater(code, reason) {
    const { clock } = this.#needs;
    const ms = this.#delay(code);
    this.#attempt += 1;
    const retryAt = this.#isTired ? null : clock.now() + ms;
    this.#become({ state: "disconnected", code, reason, retryAt });
    if (retryAt) this.#timer = clock.setTimeout(() => this.connect("retry"), ms);
  }

  /** @param {number} code */
  #delay(code) {
    const { random, isOnline } = this.#needs;
    // Browsers call a machine without a network offline, even if the server is on it.
    if (!isOnline()) return OFFLINE_MS;
    return (code === CLOSE.tooMany ? busyBackoff : backoff)(this.#attempt, random);
  }

  /** Nobody looks, and it has been tried: `wake` will come. */
  get #isTired() {
    return !this.#needs.isVisible() && this.#attempt > HIDDEN_ATTEMPTS;
  }

  #ping() {
    this.send({ type: "ping", payload: { timestamp: this.#needs.clock.now() } });
  }

  #drop() {
    this.#heartbeat.stop();
    const wire = this.#wire;
    this.#wire = null;
    if (!wire) return;
    wire.onopen = wire.onmessage = wire.onclose = null;
    wire.close();
  }

  #cancelTimer() {
    this.#needs.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** @param {Partial<Connection> & Pick<Connection, "state" | "code" | "reason">} to */
  #become(to) {
    const next = { retryAt: null, final: false, ...to };
    this.#needs.report("state", {
      state: next.state,
      code: next.code,
      reason: next.reason,
    });
    this.#connection.set(next);
  }
}
