/**
 * One session on the wire: join with what we have, apply in order, drop doubles, join
 * again on a gap; and send what waits in the outbox, one after the other.
 *
 * @import {
 *   Clock, Command, Report, Run, RunEvent, ServerError, ServerMessage, Session,
 * } from "../types.js"
 * @import { Conversation } from "../model/conversation.js"
 * @import { Outbox } from "./outbox.js"
 */

import { GapError } from "../model/transcript.js";
import { PROTOCOL_VERSION } from "../protocol.js";
import { ANSWER_MS, Push } from "./push.js";
import { Sender } from "./sender.js";

const HISTORY_LIMIT = 20;
const HOLE_LIMIT = 50;

/** More events than this while joining: what is buffered is dropped for a new join. */
const BUFFER_LIMIT = 5_000;

/** Joins in a row that healed nothing; then the run is fetched whole. */
const STUBBORN = 2;

/**
 * @typedef {object} Wire
 * @property {(command: Command) => boolean} send
 * @property {boolean} isConnected
 */

/**
 * @typedef {object} RoomNeeds
 * @property {Wire} socket
 * @property {Conversation} conversation
 * @property {Outbox} outbox
 * @property {Clock} clock
 * @property {Report} report
 * @property {(session: Partial<Session>) => void} onSession
 * @property {(error: ServerError) => void} onError an error that is about no message
 */

export class Room {
  #needs;
  #isJoined = false;
  /** @type {{ run: number, events: RunEvent[] }[]} */
  #early = [];
  #stubborn = 0;
  #sender;
  /** @type {Push | null} */
  #history = null;
  /** @type {Push | null} */
  #retrying = null;
  /** Runs to be stopped, until they are: the line may break just then. @type {Set<number>} */
  #stopping = new Set();

  /** @param {RoomNeeds} needs */
  constructor(needs) {
    this.#needs = needs;
    this.#sender = new Sender(needs);
  }

  get isJoined() {
    return this.#isJoined;
  }

  /** The wire is open: join with what we have, then say what waits. */
  opened() {
    this.#forgetPushes();
    this.#stubborn = 0;
    this.#join();
    for (const run of this.#stopping) this.#sendStop(run);
    this.#sender.flush();
  }

  /** @param {ServerMessage} message */
  received(message) {
    switch (message.type) {
      case "events":
        return this.#events(message.data.run, message.data.events);
      case "snapshot":
        return this.#snapshot(message.data);
      case "history":
        return this.#earlier(message.data.runs);
      case "accepted":
        return this.#sender.accepted(message.data.client_id);
      case "session":
        return this.#needs.onSession(message.data);
      case "error":
        return this.#error(message.data);
    }
  }

  /** There is something new to send. */
  flush() {
    this.#sender.flush();
  }

  /**
   * Stop a run, now or as soon as there is a line; false: there is none now.
   * @param {number} run
   */
  stop(run) {
    this.#stopping.add(run);
    return this.#sendStop(run);
  }

  /**
   * Stop it, saying how much of it was seen; unless it has ended by itself.
   * @param {number} run
   */
  #sendStop(run) {
    const held = this.#needs.conversation.get(run);
    if (held?.status === "finished") {
      this.#stopping.delete(run);
      return true;
    }
    const payload = held ? { run, seen: held.seq } : { run };
    return this.#needs.socket.send({ type: "interrupt", payload });
  }

  /**
   * Run it again, once however often this is pressed; false: there is no line.
   * @param {number} run
   */
  retry(run) {
    const { socket, clock } = this.#needs;
    if (this.#retrying) return true;
    if (!socket.send({ type: "retry", payload: { run } })) return false;
    this.#retrying = new Push(clock, ANSWER_MS, () => {
      this.#retrying = null;
    });
    return true;
  }

  /** Ask for runs before the first one held; no-op while such a question is open. */
  loadEarlier() {
    const { first, hasEarlier } = this.#needs.conversation;
    if (first !== null && hasEarlier) this.#ask(first, HISTORY_LIMIT);
  }

  /**
   * What the page shows of this run is not what is stored: fetch it afresh.
   * @param {number} run
   */
  heal(run) {
    this.#needs.report("healed", { run });
    this.#needs.conversation.forget(run);
    this.#join();
  }

  #join() {
    this.#isJoined = false;
    this.#early = [];
    const { seen } = this.#needs.conversation;
    const payload = { protocol: /** @type {2} */ (PROTOCOL_VERSION), seen };
    this.#needs.socket.send({ type: "subscribe", payload });
  }

  /** @param {{ session: Session | null, runs: Run[] }} snapshot */
  #snapshot({ session, runs }) {
    const { conversation } = this.#needs;
    if (session) this.#needs.onSession(session);
    // The server fills up with runs before ours; those come when scrolled to.
    const first = conversation.first ?? 0;
    this.#merge(runs.filter((run) => run.run >= first));
    this.#isJoined = true;
    const early = this.#early;
    this.#early = [];
    for (const { run, events } of early) this.#events(run, events);
    this.#fillHole();
  }

  /** @param {Run[]} runs */
  #earlier(runs) {
    this.#merge(runs);
    this.#history?.settle("ok");
    if (runs.length > 0) this.#fillHole();
  }

  /** @param {Run[]} runs */
  #merge(runs) {
    this.#needs.conversation.merge(runs);
    for (const run of runs) if (run.client_id) this.#sender.accepted(run.client_id);
  }

  #fillHole() {
    const above = this.#needs.conversation.hole;
    if (above !== null) this.#ask(above, HOLE_LIMIT);
  }

  /**
   * @param {number} before
   * @param {number} limit
   */
  #ask(before, limit) {
    if (this.#history || !this.#needs.socket.isConnected) return;
    this.#history = new Push(this.#needs.clock, ANSWER_MS, () => {
      this.#history = null;
    });
    this.#needs.socket.send({ type: "history", payload: { before, limit } });
  }

  /**
   * @param {number} run
   * @param {RunEvent[]} events
   */
  #events(run, events) {
    if (!this.#isJoined) return this.#keep(run, events);
    try {
      const doubles = this.#needs.conversation.apply(run, events);
      if (doubles > 0) this.#needs.report("doubles", { run, count: doubles });
      this.#stubborn = 0;
    } catch (error) {
      if (!(error instanceof GapError)) throw error;
      this.#gap(run, error.message);
    }
    this.#noteCreated(events);
  }

  /**
   * @param {number} run
   * @param {RunEvent[]} events
   */
  #keep(run, events) {
    this.#early.push({ run, events });
    if (this.#early.length > BUFFER_LIMIT) this.#join();
  }

  /**
   * @param {number} run
   * @param {string} detail
   */
  #gap(run, detail) {
    this.#needs.report("gap", { run, detail });
    this.#stubborn += 1;
    if (this.#stubborn > STUBBORN) this.#needs.conversation.forget(run);
    this.#join();
  }

  /** @param {RunEvent[]} events */
  #noteCreated(events) {
    for (const event of events) {
      if (event.kind !== "run_created") continue;
      this.#retrying?.settle("ok");
      if (event.client_id) this.#sender.accepted(event.client_id);
    }
  }

  /** @param {ServerError} error */
  #error(error) {
    if (this.#sender.refused(error)) return;
    this.#history?.settle("error");
    this.#retrying?.settle("error");
    this.#needs.onError(error);
  }

  #forgetPushes() {
    this.#sender.forget();
    this.#history?.cancel();
    this.#history = null;
    this.#retrying?.cancel();
    this.#retrying = null;
  }
}
