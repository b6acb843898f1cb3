/**
 * The runs of one session, in order; says which run changed.
 *
 * Runs are numbered densely from 1, so a missing number is a hole to be filled and
 * anything below the lowest one held is earlier history.
 *
 * @import { Run, RunEvent } from "./types.js"
 */

import { apply, emptyRun } from "./transcript.js";

export class Conversation {
  /** @type {Map<number, Run>} */
  #runs = new Map();
  /** @type {Run[] | null} */
  #sorted = null;
  /** @type {number | null} */
  #first = null;
  /** @type {Set<(run: number) => void>} */
  #listeners = new Set();

  /** @returns {Run[]} oldest first */
  get runs() {
    this.#sorted ??= [...this.#runs.values()].sort((a, b) => a.run - b.run);
    return this.#sorted;
  }

  /** The lowest number held so far, or null: what is below was never asked for. */
  get first() {
    return this.#first;
  }

  /** Are there runs before the first one held? */
  get hasEarlier() {
    return (this.#first ?? 1) > 1;
  }

  /** The run being answered, if any. */
  get active() {
    return this.runs.findLast((run) => run.status === "running");
  }

  /** Runs that wait their turn. */
  get queued() {
    return this.runs.filter((run) => run.status === "queued");
  }

  /**
   * What a queued run waits for: an answer before it, or a free place.
   * @param {number} number
   * @returns {"answer" | "place"}
   */
  waitsFor(number) {
    return this.runs.some(({ run, status }) => run < number && status !== "finished")
      ? "answer"
      : "place";
  }

  /** @param {number} number */
  get(number) {
    return this.#runs.get(number);
  }

  /** @param {string} clientId */
  findByClientId(clientId) {
    return this.runs.find((run) => run.client_id === clientId);
  }

  /**
   * What this page has, as `subscribe` says it: run → [epoch, last seq].
   * @returns {Record<string, [number, number]>}
   */
  get seen() {
    const places = this.runs.map(({ run, epoch, seq }) => [String(run), [epoch, seq]]);
    return Object.fromEntries(places);
  }

  /** The lowest run above a hole in the numbers, or null. */
  get hole() {
    let expected = this.#first;
    for (const { run } of this.runs) {
      if (run !== expected) return run;
      expected += 1;
    }
    return null;
  }

  /**
   * Called with the number of each run that changes.
   * @param {(run: number) => void} listener
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Take in runs as the server shows them, unless what is held is as new.
   * @param {Run[]} runs
   */
  merge(runs) {
    for (const run of runs) {
      const held = this.#runs.get(run.run);
      if (!held || isAfter(run, held)) this.#replace(run);
    }
  }

  /**
   * Take in runs as the server shows them, whatever is held: a log that was restored may
   * go less far than what was seen of it.
   * @param {Run[]} runs
   */
  replace(runs) {
    for (const run of runs) {
      const held = this.#runs.get(run.run);
      if (held?.epoch !== run.epoch || held.seq !== run.seq) this.#replace(run);
    }
  }

  /** @param {Run} run */
  #replace(run) {
    this.#keep(run);
    this.#tell(run.run);
  }

  /**
   * Apply events in order; returns how many had been applied before.
   * @param {number} number
   * @param {RunEvent[]} events
   * @throws {import("./transcript.js").GapError}
   */
  apply(number, events) {
    const run = this.#runs.get(number) ?? emptyRun(number);
    const before = run.seq;
    let doubles = 0;
    try {
      for (const event of events) doubles += apply(run, event) ? 0 : 1;
    } finally {
      if (run.seq > before) {
        if (!this.#runs.has(number)) this.#keep(run);
        this.#tell(number);
      }
    }
    return doubles;
  }

  /**
   * What is held of a run is wrong: let go of it, to get it afresh.
   * @param {number} number
   */
  forget(number) {
    this.#runs.delete(number);
    this.#sorted = null;
  }

  /** @param {Run} run */
  #keep(run) {
    this.#runs.set(run.run, run);
    this.#first = Math.min(this.#first ?? run.run, run.run);
    this.#sorted = null;
  }

  /** @param {number} run */
  #tell(run) {
    for (const listener of [...this.#listeners]) listener(run);
    if (this.#runs.get(run)?.status !== "finished") return;
    for (const queued of this.queued) {
      for (const listener of [...this.#listeners]) listener(queued.run);
    }
  }
}

/**
 * Positions are (epoch, seq).
 * @param {Run} run
 * @param {Run} other
 */
function isAfter(run, other) {
  return run.epoch === other.epoch ? run.seq > other.seq : run.epoch > other.epoch;
}
