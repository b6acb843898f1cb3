/**
 * The fold: what the page shows of a run is its log's events applied in order.
 *
 * Pure, and the twin of chat/wire/transcript.py; tests/contract/ holds the two together.
 * A run is changed in place: text grows by `+=`, which engines keep as a rope, so
 * that a token costs the same however long the answer is.
 *
 * @import { EventOf, Run, RunEvent, Step } from "./types.js"
 */

/** An event does not follow on the last one applied: read the log again. */
export class GapError extends Error {}

/**
 * A run before its first event.
 * @param {number} number
 * @returns {Run}
 */
export function emptyRun(number) {
  return {
    run: number,
    status: "queued",
    seq: 0,
    epoch: 0,
    prompt: "",
    agent_name: "",
    enable_reasoning: true,
    timestamp: 0,
    steps: [],
  };
}

/**
 * The state of run `number` after `events`, from its first.
 * @param {number} number
 * @param {Iterable<RunEvent>} events
 */
export function fold(number, events) {
  const run = emptyRun(number);
  for (const event of events) apply(run, event);
  return run;
}

/**
 * Apply `event` to `run` in place; false if it was applied before.
 * @param {Run} run
 * @param {RunEvent} event
 * @throws {GapError} when events between the last one and this one are missing
 */
export function apply(run, event) {
  if (event.seq <= run.seq) return false;
  const first = event.first ?? event.seq;
  if (first !== run.seq + 1) {
    throw new GapError(`run ${run.run}: have ${run.seq}, got ${first}`);
  }
  change(run, event);
  run.seq = event.seq;
  return true;
}

/**
 * @param {Run} run
 * @param {RunEvent} event
 */
function change(run, event) {
  switch (event.kind) {
    case "step_delta":
      stepOf(run, event.step).content += event.text;
      break;
    case "step_started":
      startStep(run, event);
      break;
    case "step_replaced":
      replaceStep(stepOf(run, event.step), event);
      break;
    case "step_progress":
      progressStep(stepOf(run, event.step), event);
      break;
    case "step_finished":
      finishStep(run, event);
      break;
    case "run_created":
      createRun(run, event);
      break;
    case "run_started":
      run.status = "running";
      run.epoch = event.epoch;
      break;
    case "run_released":
      break; // for people it goes on
    case "run_finished":
      finishRun(run, event);
      break;
  }
}

/**
 * The step of that number. The last one is nearly always meant.
 * @param {Run} run
 * @param {number} number
 * @returns {Step}
 */
function stepOf(run, number) {
  const step = run.steps.findLast((candidate) => candidate.step === number);
  if (!step) throw new GapError(`run ${run.run}: no step ${number}`);
  return step;
}

/**
 * @param {Run} run
 * @param {EventOf<"run_created">} event
 */
function createRun(run, event) {
  run.prompt = event.prompt;
  run.agent_name = event.agent_name;
  run.enable_reasoning = event.enable_reasoning;
  run.timestamp = event.timestamp;
  assign(run, "client_id", event.client_id);
}

/**
 * @param {Run} run
 * @param {EventOf<"step_started">} event
 */
function startStep(run, event) {
  /** @type {Step} */
  const step = {
    step: event.step,
    type: event.type,
    iteration: event.iteration,
    content: "",
    status: "running",
    timestamp: event.timestamp,
  };
  assign(step, "tool_name", event.tool_name);
  assign(step, "call_id", event.call_id);
  assign(step, "agent", event.agent);
  assign(step, "parent", event.parent);
  const at = run.steps.findIndex((old) => old.step === event.step);
  if (at < 0) run.steps.push(step);
  else run.steps[at] = step;
}

/**
 * @param {Step} step
 * @param {EventOf<"step_replaced">} event
 */
function replaceStep(step, event) {
  assign(step, "type", event.type);
  assign(step, "content", event.text);
}

/**
 * @param {Step} step
 * @param {EventOf<"step_progress">} event
 */
function progressStep(step, { done, total, text }) {
  step.progress = {};
  assign(step.progress, "done", done);
  assign(step.progress, "total", total);
  assign(step.progress, "text", text);
}

/**
 * @param {Run} run
 * @param {EventOf<"step_finished">} event
 */
function finishStep(run, event) {
  const step = stepOf(run, event.step);
  if (event.status === "discarded") {
    run.steps = run.steps.filter((other) => other !== step);
    return;
  }
  step.status = event.status;
  step.duration_ms = event.duration_ms;
  step.digest = event.digest;
  assign(step, "tool_input", event.tool_input);
  delete step.progress;
}

/**
 * @param {Run} run
 * @param {EventOf<"run_finished">} event
 */
function finishRun(run, event) {
  run.status = "finished";
  run.reason = event.reason;
  run.duration_ms = event.duration_ms;
  assign(run, "usage", event.usage);
  assign(run, "error", event.error);
  assign(run, "cause", event.cause);
  assign(run, "epoch", event.epoch);
}

/**
 * Set a field unless the event leaves it out.
 * @template {object} T
 * @template {keyof T} K
 * @param {T} target
 * @param {K} key
 * @param {T[K] | undefined} value
 */
function assign(target, key, value) {
  if (value !== undefined) target[key] = value;
}
