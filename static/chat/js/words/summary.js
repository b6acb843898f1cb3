/**
 * What happened, in one line: the words on cards, in announcements and in reports.
 *
 * @import { CutCause, Reason, Run, Step } from "../client/types.js"
 */

import { oneLine } from "./format.js";
import { terminalText } from "./terminal.js";
import { jsonValue, plainly } from "./values.js";

const GIST_CHARS = 140;
/** So much of a long text is looked at: much of it may be control codes. */
const GIST_SOURCE = 8_000;

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
  const given = argumentsOf(step);
  if (given?.kind !== "object") return contentGist(step);
  const { entries } = given;
  const [first] = entries;
  if (first && entries.length === 1) return oneLine(plainly(first[1]), GIST_CHARS);
  const pairs = entries.map(([key, value]) => `${key}: ${oneLine(plainly(value), 40)}`);
  return oneLine(pairs.join(", "), GIST_CHARS);
}

/**
 * A tool's arguments as the model wrote them, or, where that is not quite JSON, as they
 * were understood.
 * @param {Step} step
 */
export function argumentsOf({ content, tool_input }) {
  return jsonValue(content) ?? (tool_input && jsonValue(JSON.stringify(tool_input)));
}

/** @param {Step} step */
export function contentGist({ content }) {
  return oneLine(terminalText(content.slice(0, GIST_SOURCE)), GIST_CHARS);
}

/** @type {Record<Reason, string>} */
const ENDINGS = {
  answered: "Answered",
  stopped: "Stopped",
  cut: "Cut off",
  failed: "Failed",
  max_iterations: "Ended without an answer: the limit of rounds was reached",
  server_lost: "The server working on this was lost",
  withdrawn: "Withdrawn before it began",
};

/**
 * How the run ended.
 * @param {Run} run
 */
export function endingOf(run) {
  return run.reason ? ENDINGS[run.reason] : "Finished";
}

/**
 * What went wrong, in words, and the way on; null: nothing did.
 * @param {Run} run
 * @returns {{ name: string, text: string, way: string, step?: Step } | null}
 */
export function faultOf(run) {
  const said = run.status === "finished" && FAULTS[run.reason ?? ""];
  if (!said) return null;
  const text = run.error?.message ?? causeOf(run) ?? said.text;
  const last = run.steps.at(-1);
  const step = last?.type === "error" && last.content === text ? { step: last } : {};
  const canGoOn = run.error?.retryable !== false;
  const isKept = canGoOn && run.steps.some(({ type }) => type !== "error");
  return isKept
    ? { name: said.name, text: `${sentence(text)} ${KEPT}`, way: "Continue", ...step }
    : { name: "Failed", text: sentence(text), way: "Try again", ...step };
}

const KEPT = "What was written is kept; Continue goes on from there.";

/** @type {Record<string, { name: string, text: string }>} */
const FAULTS = {
  failed: { name: "Broken off", text: "Something went wrong." },
  max_iterations: {
    name: "No answer yet",
    text: "The limit of rounds was reached before there was one.",
  },
  server_lost: { name: "Broken off", text: "The server working on this was lost." },
  cut: { name: "Cut off", text: "The answer is not whole." },
};

/** @param {Run} run */
function causeOf(run) {
  return run.cause && CUTS[run.cause];
}

/** @type {Record<CutCause, string>} */
const CUTS = {
  length: "The model has written as much as it may at once.",
  filter: "The model's provider withheld the rest (content filter).",
  ended: "The model's server ended it in the middle.",
};

/**
 * An error that something came after.
 * @param {Step} step
 */
export function errorFault(step) {
  return { name: "Error", text: step.content, way: "" };
}

/** @param {string} text */
function sentence(text) {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
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
      return `Result: ${oneLine(contentGist(step), 80)}`;
    case "error":
      return `Error: ${oneLine(contentGist(step), 120)}`;
    default:
      return null;
  }
}
