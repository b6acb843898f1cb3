/**
 * The connection: disconnected, connecting or connected, each with a code and a reason,
 * and coming back by itself.
 *
 * @import {
 *   Clock, Command, Connection, Readable, ReconnectPolicy, Report, ServerMessage,
 *   WireSocket, WireSocketClass, Writable,
 * } from "./types.js"
 */

import { Heartbeat } from "./heartbeat.js";
import { NOT_STARTED } from "./line.js";
import { CLOSE, decode, encode, isFinal } from "./protocol.js";
import { writable } from "./store.js";

const OPEN_TIMEOUT_MS = 15_000;

/**
 * @typedef {object} SocketNeeds
 * @property {string} url
 * @property {WireSocketClass} WebSocket
 * @property {Clock} clock
 * @property {() => number} random
 * @property {number} heartbeat milliseconds between pings
 * @property {ReconnectPolicy} reconnect
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
    reason: NOT_STARTED,
    retryAt: null,
    final: false,
    inDoubt: false,
  });

  /** @param {SocketNeeds} needs */
  constructor(needs) {
    this.#needs = needs;
    this.#heartbeat = new Heartbeat({
      clock: needs.clock,
      interval: needs.heartbeat,
      ping: () => this.#ping(),
      dead: () => this.#lost(CLOSE.lost, "no answer to a ping"),
      doubted: (inDoubt) => this.#doubted(inDoubt),
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
  connect() {
    if (this.#wire) return;
    this.#attempt = 0;
    this.#connect("asked");
  }

  /** @param {string} reason */
  #connect(reason) {
    this.#cancelTimer();
    this.#become({ state: "connecting", code: 0, reason });
    this.#open();
  }

  /** The page is back (visible, online): do not wait, and doubt what we have. */
  wake(reason = "back") {
    if (this.#wire) this.#heartbeat.check();
    else if (!this.#connection.get().final) this.#connect(reason);
  }

  /** Ask whether it still lives. */
  check() {
    this.#heartbeat.check();
  }

  /** Somebody says that the network is gone: believe it, but only after asking. */
  doubt() {
    this.#heartbeat.doubt();
  }

  /** @param {boolean} inDoubt */
  #doubted(inDoubt) {
    if (this.isConnected) this.#become({ ...this.#connection.get(), inDoubt });
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
    const { clock, random, reconnect } = this.#needs;
    const isOnline = this.#needs.isOnline();
    const isVisible = this.#needs.isVisible();
    const attempt = this.#attempt;
    const ms = reconnect({ attempt, code, isOnline, isVisible, random });
    this.#attempt += 1;
    const retryAt = ms === null ? null : clock.now() + ms;
    this.#become({ state: "disconnected", code, reason, retryAt });
    if (ms !== null) this.#timer = clock.setTimeout(() => this.#connect("retry"), ms);
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
    const next = { retryAt: null, final: false, inDoubt: false, ...to };
    this.#needs.report("state", {
      state: next.inDoubt ? "in doubt" : next.state,
      code: next.code,
      reason: next.reason,
    });
    this.#connection.set(next);
  }
}
