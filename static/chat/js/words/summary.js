/**
 * What happened, in one line: the words on cards, in announcements and in reports.
 *
 * @import { Reason, Run, Step, StepType } from "../client/types.js"
 */

import { duration, oneLine } from "./format.js";

/** @type {Record<StepType, string>} */
export const ICONS = {
  thought: "💭",
  tool_use: "🔧",
  tool_result: "📊",
  final_answer: "✅",
  error: "❌",
};

const GIST_CHARS = 140;

/**
 * The heading of a step's card.
 * @param {Step} step
 */
export function titleOf(step) {
  const tool = step.tool_name ?? "tool";
  const running = step.status === "running";
  switch (step.type) {
    case "thought":
      return running ? "Thinking…" : `Thought${took(step)}`;
    case "tool_use":
      return tool;
    case "tool_result":
      return `Result of ${tool}`;
    case "final_answer":
      return running ? "Answering…" : "Answer";
    case "error":
      return "Error";
  }
}

/** @param {Step} step */
function took(step) {
  return isWorthSaying(step.duration_ms) ? ` for ${duration(step.duration_ms)}` : "";
}

/**
 * Shorter than this is no time at all for thinking or writing.
 * @param {number | undefined} ms
 * @returns {ms is number}
 */
export function isWorthSaying(ms) {
  return ms !== undefined && ms >= 100;
}

/**
 * A tool's arguments in a few words: the value alone where there is but one.
 * @param {Step} step
 */
export function argumentsGist(step) {
  const input = step.tool_input ?? parsed(step.content);
  if (!input) return oneLine(step.content, GIST_CHARS);
  const entries = Object.entries(input);
  if (entries.length === 1) return oneLine(plain(entries[0]?.[1]), GIST_CHARS);
  const pairs = entries.map(([key, value]) => `${key}: ${oneLine(plain(value), 40)}`);
  return oneLine(pairs.join(", "), GIST_CHARS);
}

/** @param {Step} step */
export function contentGist(step) {
  return oneLine(step.content, GIST_CHARS);
}

/** @param {unknown} value */
function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * @param {string} text
 * @returns {Record<string, unknown> | null}
 */
function parsed(text) {
  if (!text.startsWith("{")) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @type {Record<Reason, string>} */
const ENDINGS = {
  answered: "Answered",
  stopped: "Stopped",
  failed: "Failed",
  max_iterations: "Ended without an answer: the limit of rounds was reached",
  server_lost: "The server working on this was lost",
  withdrawn: "Withdrawn before it began",
};

/**
 * How the run ended, or what it is doing.
 * @param {Run} run
 * @param {number} [now] Unix seconds, by the server's clock
 */
export function stateOf(run, now = 0) {
  if (run.status === "queued") return "Waiting its turn";
  if (run.status === "running") return `Working${soFar(now - run.timestamp)}`;
  return run.reason ? ENDINGS[run.reason] : "Finished";
}

/** @param {number} seconds */
function soFar(seconds) {
  return seconds < 2
    ? ""
    : ` · ${duration(Math.floor(seconds) * 1000).replace(".0", "")}`;
}

/**
 * What a screen reader is told when a step begins or ends; null: nothing.
 * @param {Step} step
 */
export function announcementOf(step) {
  return step.status === "running" ? beginningOf(step) : endOf(step);
}

/** @param {Step} step */
function beginningOf(step) {
  switch (step.type) {
    case "thought":
      return "Thinking.";
    case "tool_use":
      return `Calling ${step.tool_name ?? "a tool"}.`;
    case "final_answer":
      return "Answering.";
    default:
      return null;
  }
}

/** @param {Step} step */
function endOf(step) {
  switch (step.type) {
    case "tool_result":
      return `Result: ${oneLine(step.content, 80)}`;
    case "error":
      return `Error: ${oneLine(step.content, 120)}`;
    default:
      return null;
  }
}
