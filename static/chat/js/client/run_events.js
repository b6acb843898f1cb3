/**
 * Runs told as events, in the words of the reference system (docs/client.md): what has
 * been told of each run is compared with what is held now. So it does not matter whether
 * something came token by token or, after a reconnect, as a whole; and nothing is told
 * twice.
 *
 * @import { Run, Step } from "./types.js"
 */

/** As many characters decide whether a text was continued or begun anew. */
const TAIL = 32;

/**
 * @typedef {object} ToldStep
 * @property {number} timestamp another one: the step was begun anew
 * @property {number} length characters told
 * @property {string} tail the last of them
 * @property {boolean} isOver
 */

/** @typedef {{ isStarted: boolean, isOver: boolean, steps: Map<number, ToldStep> }} Told */

export class RunEvents {
  #emit;
  /** @type {Map<number, Told>} */
  #told = new Map();

  /** @param {(event: string, data: any) => void} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /**
   * What there is of this run is history: only what comes after is told.
   * @param {Run} run
   */
  skip(run) {
    const told = this.#toldOf(run);
    told.isStarted = run.status !== "queued";
    told.isOver = run.status === "finished";
    for (const step of run.steps) told.steps.set(step.step, toldStep(step));
  }

  /**
   * Tell what is new.
   * @param {Run} run
   */
  changed(run) {
    const told = this.#toldOf(run);
    if (told.isOver) return;
    if (!told.isStarted && run.status !== "queued") this.#start(run, told);
    for (const step of run.steps) this.#step(run, step, told);
    if (run.status === "finished") this.#end(run, told);
  }

  /** @param {Run} run */
  #toldOf(run) {
    const told = this.#told.get(run.run) ?? {
      isStarted: false,
      isOver: false,
      steps: new Map(),
    };
    this.#told.set(run.run, told);
    return told;
  }

  /**
   * @param {Run} run
   * @param {Told} told
   */
  #start({ run, agent_name, prompt, enable_reasoning }, told) {
    told.isStarted = true;
    const data = { run, agent: agent_name, message: prompt, enable_reasoning };
    this.#emit("reasoning_start", data);
  }

  /**
   * @param {Run} run
   * @param {Step} step
   * @param {Told} told
   */
  #step({ run, enable_reasoning }, step, told) {
    const before = told.steps.get(step.step);
    if (before?.isOver && before.timestamp === step.timestamp) return;
    const at = continues(step, before) ? before.length : 0;
    if (step.content.length > at || (before && at === 0)) {
      const text = step.content.slice(at);
      this.#emit("token", { run, step: step.step, type: step.type, at, text });
    }
    told.steps.set(step.step, toldStep(step));
    if (step.status !== "running" && enable_reasoning) {
      this.#emit("reasoning_step", stepData(run, step));
    }
  }

  /**
   * @param {Run} run
   * @param {Told} told
   */
  #end(run, told) {
    told.isOver = true;
    told.steps.clear();
    const { reason, error } = run;
    if (!run.enable_reasoning) {
      const answer = run.steps.findLast((step) => step.type === "final_answer");
      this.#emit("response", { run: run.run, content: answer?.content ?? "" });
    }
    if (reason === "stopped" || reason === "withdrawn") {
      this.#emit("interrupted", { run: run.run });
    }
    if (error) this.#emit("error", { run: run.run, ...error });
    this.#emit("reasoning_complete", { run: run.run, reason });
  }
}

/**
 * @param {Step} step
 * @param {ToldStep | undefined} told
 * @returns {told is ToldStep}
 */
function continues({ timestamp, content }, told) {
  if (!told || told.timestamp !== timestamp || content.length < told.length)
    return false;
  return content.slice(Math.max(0, told.length - TAIL), told.length) === told.tail;
}

/**
 * @param {Step} step
 * @returns {ToldStep}
 */
function toldStep({ timestamp, content, status }) {
  const isOver = status !== "running";
  return { timestamp, length: content.length, tail: content.slice(-TAIL), isOver };
}

/**
 * @param {number} run
 * @param {Step} step
 */
function stepData(run, { digest: _digest, status: _status, call_id: _id, ...data }) {
  return { run, ...data };
}
