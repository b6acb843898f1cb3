/**
 * One session on the wire: join with what we have, apply in order, drop doubles, join
 * again on a gap; and send what waits in the outbox, one after the other.
 *
 * @import {
 *   Clock, Command, Joining, Readable, Report, Run, RunEvent, ServerError, ServerMessage,
 *   Session, Snapshot, Writable,
 * } from "./types.js"
 * @import { Conversation } from "./conversation.js"
 * @import { Outbox } from "./outbox.js"
 * @import { Outcome } from "./push.js"
 */

import { PROTOCOL_VERSION } from "./protocol.js";
import { ANSWER_MS, Push } from "./push.js";
import { backoff } from "./reconnect.js";
import { Sender } from "./sender.js";
import { writable } from "./store.js";
import { GapError } from "./transcript.js";

const HISTORY_LIMIT = 20;
const HOLE_LIMIT = 50;

/** More events than this while joining: what is buffered is dropped for a new join. */
const BUFFER_LIMIT = 5_000;

/** Joins in a row that healed nothing; then the run is fetched whole. */
const MAX_FUTILE_JOINS = 2;

/** A join that was refused is not tried again sooner than this. */
const REJOIN_MS = 500;

/**
 * @typedef {object} Wire
 * @property {(command: Command) => boolean} send
 * @property {() => void} doubt
 * @property {boolean} isConnected
 */

/**
 * @typedef {object} RoomNeeds
 * @property {Wire} socket
 * @property {Conversation} conversation
 * @property {Outbox} outbox
 * @property {Clock} clock
 * @property {() => number} random
 * @property {Report} report
 * @property {(session: Partial<Session>) => void} onSession
 * @property {(text: string) => void} onNotice what whoever runs the site tells people
 * @property {(error: ServerError) => void} onError an error that is about no message
 */

export class Room {
  #needs;
  /** @type {Writable<Joining>} */
  #state = writable({ isJoined: false, retryAt: null });
  /** The number of the last join; an answer to another one is none. */
  #joins = 0;
  /** Joins in a row that were refused or not answered. */
  #refusals = 0;
  /** @type {Push | null} */
  #joining = null;
  /** @type {unknown} */
  #rejoining = null;
  /** @type {{ run: number, events: RunEvent[] }[]} */
  #early = [];
  #futileJoins = 0;
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

  /** @returns {Readable<Joining>} */
  get state() {
    return this.#state;
  }

  /** The wire is open: join with what we have, then say what waits. */
  opened() {
    this.closed();
    this.#futileJoins = this.#refusals = 0;
    this.#join();
    for (const run of this.#stopping) this.#sendStop(run);
    this.#sender.flush();
  }

  /** The wire is gone, and with it all that was to be answered. */
  closed() {
    this.#sender.forget();
    this.#needs.clock.clearTimeout(this.#rejoining);
    for (const push of [this.#joining, this.#history, this.#retrying]) push?.cancel();
    this.#joining = this.#history = this.#retrying = null;
    this.#state.set({ isJoined: false, retryAt: null });
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
      case "notice":
        return this.#needs.onNotice(message.data.text);
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
   * What is held of this run is not what is stored: fetch it afresh.
   * @param {number} run
   */
  heal(run) {
    this.#needs.report("healed", { run });
    this.#needs.conversation.forget(run);
    this.#join();
  }

  // ------------------------------------------------------------ joining

  #join() {
    const { socket, conversation, clock } = this.#needs;
    clock.clearTimeout(this.#rejoining);
    this.#joining?.cancel();
    this.#early = [];
    this.#joins += 1;
    this.#joining = new Push(clock, ANSWER_MS, (outcome, detail) =>
      this.#joinAnswered(outcome, detail),
    );
    this.#state.set({ isJoined: false, retryAt: null });
    const payload = {
      protocol: /** @type {2} */ (PROTOCOL_VERSION),
      seen: conversation.seen,
      ref: this.#joins,
    };
    socket.send({ type: "subscribe", payload });
  }

  /**
   * @param {Outcome} outcome
   * @param {unknown} detail
   */
  #joinAnswered(outcome, detail) {
    this.#joining = null;
    if (outcome === "ok") {
      this.#refusals = 0;
      this.#state.set({ isJoined: true, retryAt: null });
      return;
    }
    if (outcome === "timeout") this.#needs.socket.doubt();
    this.#rejoinLater(/** @type {ServerError | undefined} */ (detail)?.retry_after);
  }

  /** @param {number | undefined} seconds as the server says; else longer every time */
  #rejoinLater(seconds) {
    const { clock, random, report } = this.#needs;
    const jitter = REJOIN_MS + backoff(this.#refusals, random);
    const ms = seconds === undefined ? jitter : seconds * 1000;
    this.#refusals += 1;
    report("join failed", { attempt: this.#refusals });
    this.#state.set({ isJoined: false, retryAt: clock.now() + ms });
    this.#rejoining = clock.setTimeout(() => this.#join(), ms);
  }

  /** @param {Snapshot} snapshot */
  #snapshot({ session, runs, ref }) {
    const { conversation } = this.#needs;
    if (!this.#joining || (ref ?? this.#joins) !== this.#joins) return;
    if (session) this.#needs.onSession(session);
    // The server fills up with runs before ours; those come when scrolled to.
    const first = conversation.first ?? 0;
    const ours = runs.filter((run) => run.run >= first);
    conversation.replace(ours);
    this.#noteAnswered(ours);
    this.#joining.settle("ok");
    const early = this.#early;
    this.#early = [];
    for (const { run, events } of early) this.#events(run, events);
    this.#fillHole();
  }

  // ------------------------------------------------------------ runs

  /** @param {Run[]} runs */
  #earlier(runs) {
    this.#needs.conversation.merge(runs);
    this.#noteAnswered(runs);
    this.#history?.settle("ok");
    if (runs.length > 0) this.#fillHole();
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
    if (!this.#state.get().isJoined) return this.#keep(run, events);
    try {
      const doubles = this.#needs.conversation.apply(run, events);
      if (doubles > 0) this.#needs.report("doubles", { run, count: doubles });
      this.#futileJoins = 0;
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
    this.#futileJoins += 1;
    if (this.#futileJoins > MAX_FUTILE_JOINS) this.#needs.conversation.forget(run);
    this.#join();
  }

  /** @param {RunEvent[]} events */
  #noteCreated(events) {
    for (const event of events) {
      if (event.kind !== "run_created") continue;
      this.#retrying?.settle("ok");
      this.#noteAnswered([event]);
    }
  }

  /**
   * The runs of these messages are there.
   * @param {{ client_id?: string }[]} runs
   */
  #noteAnswered(runs) {
    for (const { client_id } of runs) {
      if (!client_id) continue;
      this.#sender.accepted(client_id);
      this.#needs.outbox.remove(client_id);
    }
  }

  /** @param {ServerError} error */
  #error(error) {
    if (this.#sender.refused(error) || this.#isOfJoin(error)) return;
    this.#history?.settle("error");
    this.#retrying?.settle("error");
    this.#needs.onError(error);
  }

  /**
   * Was the join refused? An error without a name may be the join's; where it is not,
   * joining once more does no harm.
   * @param {ServerError} error
   */
  #isOfJoin(error) {
    const isNamed = error.ref !== undefined;
    if (isNamed ? error.ref === this.#joins : this.#joining) {
      this.#joining?.settle("error", error);
      return isNamed || !(this.#history || this.#retrying);
    }
    return isNamed;
  }
}
