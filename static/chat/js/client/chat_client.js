/**
 * One session with an agent: follows its log, sends what is asked, survives what the
 * network does, and says what there is in stores and events. It knows no page, speaks in
 * codes, and has everything from outside: docs/client.md says how to build on it.
 *
 * @import {
 *   ChatPayload, Clock, Line, Notice, OutboxItem, Readable, ReconnectPolicy,
 *   ServerError, Session, SessionChange, Snapshot, WireSocketClass,
 * } from "./types.js"
 * @import { JsonStorage } from "./storage.js"
 */

import { Api } from "./api.js";
import { Conversation } from "./conversation.js";
import { Diagnostics } from "./diagnostics.js";
import { isSameLine, lineOf } from "./line.js";
import { Outbox } from "./outbox.js";
import { Proof } from "./proof.js";
import { ReadMarks } from "./read_marks.js";
import { fullJitter } from "./reconnect.js";
import { Room } from "./room.js";
import { RunEvents } from "./run_events.js";
import { Sessions } from "./sessions.js";
import { Socket } from "./socket.js";
import { writable } from "./store.js";

const HEARTBEAT_MS = 30_000;

/** Events of runs; the rest is told as it happens. */
const RUN_EVENTS = new Set([
  "reasoning_start",
  "reasoning_step",
  "response",
  "reasoning_complete",
  "interrupted",
  "error",
  "token",
]);

/**
 * @typedef {object} ClientOptions
 * @property {string} url of the socket: `ws(s)://HOST/ws/chat/<sessionId>`
 * @property {string} sessionId a UUID; one that is nobody's yet begins a session
 * @property {WireSocketClass} WebSocket
 * @property {Clock} clock
 * @property {() => number} random uniform in [0, 1)
 * @property {() => string} createId a new random name for a message
 * @property {JsonStorage} storage for what is to survive a reload
 * @property {JsonStorage} tabStorage the same, of this tab alone
 * @property {() => boolean} isVisible does somebody look?
 * @property {() => boolean} isOnline what the browser says
 * @property {((text: string) => Promise<string>) | null} digest SHA-256 in lowercase hex;
 *   null where there is none: then nothing is proved
 * @property {{ url: string, fetch: typeof fetch, csrfToken: () => string }} api where the
 *   list of sessions is
 * @property {ReconnectPolicy} [reconnect] `fullJitter` by default
 * @property {number} [heartbeat] milliseconds between pings
 * @property {Snapshot} [snapshot] what the server put into the page
 */

export class ChatClient {
  #options;
  #outbox;
  #socket;
  #room;
  #readMarks;
  /** @type {RunEvents | null} */
  #runEvents = null;
  /** The first run that is not history; null until the session was joined. */
  #liveFrom = /** @type {number | null} */ (null);
  /** As the events have told it. */
  #isConnected = false;
  /** @type {Map<string, Set<(data: any) => void>>} */
  #handlers = new Map();
  #line = writable(/** @type {Line} */ ({ state: "idle", code: 0, retryAt: null }));
  #session = writable(/** @type {Partial<Session>} */ ({}));

  /** The runs of the session; `subscribe` tells the number of each run that changes. */
  runs = new Conversation();

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    const { clock, random, storage, sessionId, isVisible, isOnline } = options;
    this.diagnostics = new Diagnostics(clock);
    const { report } = this.diagnostics;
    this.#outbox = new Outbox(storage, sessionId);
    this.#readMarks = new ReadMarks(storage);
    this.#socket = new Socket({
      url: options.url,
      WebSocket: options.WebSocket,
      clock,
      random,
      heartbeat: options.heartbeat ?? HEARTBEAT_MS,
      reconnect: options.reconnect ?? fullJitter,
      isVisible,
      isOnline,
      report,
      onOpen: () => this.#room.opened(),
      onMessage: (message) => this.#room.received(message),
    });
    this.#room = new Room({
      socket: this.#socket,
      conversation: this.runs,
      outbox: this.#outbox,
      clock,
      random,
      report,
      onSession: (change) => this.#changeSession(change),
      onError: (error) => this.#refused(error),
      onNotice: (message) => this.#notify({ code: "operator", message }),
    });
    /** The digests of all finished steps, checked. */
    this.proof = new Proof(this.runs, options.digest, (run) => this.#room.heal(run));
    /** The list of sessions, from `sessions.start()` on. */
    this.sessions = this.#buildSessions();
    this.#take(options.snapshot);
    this.#watch();
  }

  // ------------------------------------------------------------ what there is

  /** @returns {Readable<Line>} what a person should know about the connection */
  get line() {
    return this.#line;
  }

  /** @returns {Readable<OutboxItem[]>} what was asked and is not a run yet, oldest first */
  get pending() {
    return this.#outbox.items;
  }

  /** @returns {Readable<Partial<Session>>} title and agent */
  get session() {
    return this.#session;
  }

  /** The socket's own state, for diagnostics. */
  get connection() {
    return this.#socket.connection;
  }

  get sessionId() {
    return this.#options.sessionId;
  }

  /** Other sessions in which something waits to be sent. */
  get waitingElsewhere() {
    return this.#outbox.elsewhere();
  }

  /**
   * Take back what waits to be sent in another session.
   * @param {string} sessionId
   * @returns {string[]} the messages, oldest first
   */
  takeFrom(sessionId) {
    return this.#outbox.takeFrom(sessionId);
  }

  /**
   * Call `handler` with the data of each `event`; returns what ends that.
   * @param {string} event
   * @param {(data: any) => void} handler
   * @returns {() => void}
   */
  on(event, handler) {
    if (RUN_EVENTS.has(event)) this.#tellRuns();
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  // ------------------------------------------------------------ the connection

  /** Connect now, whatever was planned, and stay connected. */
  connect() {
    this.#socket.connect();
  }

  /**
   * Somebody is back (looks again, has network again): do not wait any longer.
   * @param {string} reason for diagnostics
   */
  wake(reason) {
    this.#socket.wake(reason);
    this.#updateLine();
    if (reason === "visible") this.sessions.refresh();
  }

  /** The network may be gone: find out. */
  doubt() {
    this.#socket.doubt();
    this.#updateLine();
  }

  /** For good. */
  close() {
    this.#socket.close();
    this.#room.closed();
    this.sessions.stop();
  }

  /**
   * Another tab changed the storage.
   * @param {string | null} key null: everything was cleared
   */
  storageChanged(key) {
    this.#readMarks.refresh();
    if (!this.#outbox.concerns(key)) return;
    this.#outbox.refresh();
    this.#room.flush();
  }

  // ------------------------------------------------------------ what can be asked for

  /**
   * Ask; what is asked is kept until its run is there. False, and the notice
   * `outbox_full`: it was not taken.
   * @param {string} message
   * @param {Pick<ChatPayload, "agent_name" | "enable_reasoning">} [options]
   */
  ask(message, options = {}) {
    const { clock, createId, sessionId } = this.#options;
    const client_id = createId();
    if (!this.#outbox.put({ ...options, message, client_id, at: clock.now() })) {
      this.#notify({ code: "outbox_full" });
      return false;
    }
    this.#readMarks.expect(sessionId);
    this.#emit("asked", { client_id, message });
    this.#room.flush();
    return true;
  }

  /**
   * Stop a run, keeping what was seen of it; by default the one that is being answered.
   * Without a line (notice `stop_waits`) it is stopped when there is one.
   * @param {number} [run]
   */
  stop(run = this.runs.active?.run) {
    if (run === undefined) return;
    const isSent = this.#room.stop(run);
    if (!isSent) this.#notify({ code: "stop_waits" });
    this.#socket.check(); // if the line is dead, find out now
  }

  /**
   * Run it again, or continue it. False, and the notice `no_line`: not now.
   * @param {number} run
   */
  retry(run) {
    const isSent = this.#room.retry(run);
    if (!isSent) this.#notify({ code: "no_line" });
    return isSent;
  }

  /**
   * The question of a run, to be asked again in other words.
   * @param {number} run
   */
  edit(run) {
    return this.runs.get(run)?.prompt ?? "";
  }

  /**
   * Take back what waits: a run by its number, a message by its `client_id`. Returns what
   * was asked in it, "" if there is nothing to take back.
   * @param {number | string} what
   */
  withdraw(what) {
    if (typeof what === "string") {
      const item = this.#outbox.find(what);
      this.#outbox.remove(what);
      return item?.message ?? "";
    }
    const run = this.runs.get(what);
    if (run?.status !== "queued") return "";
    this.stop(what);
    return run.prompt;
  }

  /**
   * Send a refused message again.
   * @param {string} clientId
   */
  resend(clientId) {
    const item = this.#outbox.find(clientId);
    if (!item) return;
    const { error: _error, ...again } = item;
    this.#outbox.put(again);
    this.#room.flush();
  }

  /** Bring back the session itself, after it was deleted. */
  async restore() {
    if (await this.sessions.restore(this.sessionId)) this.connect();
  }

  /** Ask for runs before those that are here; no-op while such a question is open. */
  loadEarlier() {
    this.#room.loadEarlier();
  }

  // ------------------------------------------------------------ within

  #buildSessions() {
    const { api, clock, tabStorage, isVisible } = this.#options;
    return new Sessions({
      api: new Api(api.url, api.fetch, api.csrfToken),
      clock,
      tabStorage,
      readMarks: this.#readMarks,
      isVisible,
      notify: (notice) => this.#notify(notice),
      onUnreachable: () => this.doubt(),
      onChanged: (id, change) => this.#sessionChanged(id, change),
    });
  }

  /** @param {Snapshot | undefined} snapshot */
  #take(snapshot) {
    if (!snapshot) return;
    this.runs.merge(snapshot.runs);
    if (snapshot.session) this.#session.set(snapshot.session);
    for (const { run } of snapshot.runs) this.proof.check(run);
  }

  #watch() {
    this.runs.subscribe((run) => this.#runChanged(run));
    this.#socket.connection.subscribe((connection) => {
      if (connection.state === "disconnected") this.#room.closed();
      this.#updateLine();
    });
    this.#room.state.subscribe(({ isJoined }) => {
      if (isJoined) this.#liveFrom ??= this.runs.first ?? 1;
      this.#updateLine();
    });
    this.sessions.state.subscribe(({ rows }) => {
      const row = rows.find((each) => each.session_id === this.sessionId);
      if (row && this.#options.isVisible()) this.#readMarks.note(row);
    });
  }

  #updateLine() {
    const connection = this.#socket.connection.get();
    const isOnline = this.#options.isOnline();
    const line = lineOf(connection, this.#room.state.get(), isOnline);
    if (isSameLine(line, this.#line.get())) return;
    this.#line.set(line);
    this.#emit("line", line);
    this.#tellOfLine(line);
  }

  /**
   * In the words of the reference system.
   * @param {Line} line
   */
  #tellOfLine({ state, code, retryAt }) {
    if (state === "live") this.#tellOfConnected(true);
    const isLost = state === "waiting" || state === "offline";
    if (isLost || state === "ended") this.#tellOfConnected(false, code);
    if (!isLost) return;
    if (retryAt === null) this.#emit("reconnect_failed", { code });
    else this.#emit("reconnecting", { delay: retryAt - this.#options.clock.now() });
  }

  /**
   * @param {boolean} isConnected
   * @param {number} [code]
   */
  #tellOfConnected(isConnected, code) {
    if (this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    if (isConnected) this.#emit("connected", { session_id: this.sessionId });
    else this.#emit("disconnected", { code });
  }

  /** @param {number} number */
  #runChanged(number) {
    this.proof.check(number);
    this.#emit("run", { run: number });
    const run = this.runs.get(number);
    if (!run) return;
    if (this.#isHistory(number)) this.#runEvents?.skip(run);
    else this.#runEvents?.changed(run);
    if (run.seq <= 2 || run.status === "finished") this.sessions.refresh();
  }

  /** @param {number} run */
  #isHistory(run) {
    return this.#liveFrom === null || run < this.#liveFrom;
  }

  #tellRuns() {
    if (this.#runEvents) return;
    this.#runEvents = new RunEvents((event, data) => this.#emit(event, data));
    for (const run of this.runs.runs) this.#runEvents.skip(run);
  }

  /** @param {Partial<Session>} change */
  #changeSession(change) {
    this.#session.set({ ...this.#session.get(), ...change });
    this.#emit("session", change);
  }

  /**
   * @param {string} id
   * @param {SessionChange} change
   */
  #sessionChanged(id, { title }) {
    if (id === this.sessionId && title !== undefined) this.#changeSession({ title });
  }

  /** @param {ServerError} error */
  #refused({ code, message }) {
    this.#notify({ code, message });
  }

  /** @param {Notice} notice */
  #notify(notice) {
    this.#emit("notice", notice);
  }

  /**
   * @param {string} event
   * @param {any} data
   */
  #emit(event, data) {
    for (const handler of [...(this.#handlers.get(event) ?? [])]) handler(data);
  }
}
