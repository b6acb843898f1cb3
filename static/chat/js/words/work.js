/**
 * What an agent did for a question, as the transcript arranges it: the steps on the way,
 * gathered under one line, and what was answered.
 *
 * The twin of chat/templatetags/transcript.py.
 *
 * @import { Run, Step } from "../client/types.js"
 */

import { count, duration } from "./format.js";

/** Steps inside steps are indented so often. */
const MAX_DEPTH = 3;

/** More ticks than this are no picture any more. */
const MAX_TICKS = 24;

/** Of a run with more steps than FEW the last ones stand open, so many of them. */
const FEW = 8;
export const LAST = 4;

/** @typedef {"thought" | "tool" | "pair" | "result" | "error"} Tick */

/**
 * The steps on the way, in groups: a tool's call and its result are one.
 * @param {Run} run
 * @returns {Step[][]}
 */
export function workOf(run) {
  return grouped(run.steps.filter((step) => !isOutcome(step)));
}

/** What is not folded away: answers and errors. @param {Step} step */
export function isOutcome(step) {
  return step.type === "final_answer" || step.type === "error";
}

/**
 * A tool's call and its result are one group, any other step is its own.
 * @param {Step[]} steps
 */
export function grouped(steps) {
  /** @type {Step[][]} */
  const groups = [];
  for (const step of steps) {
    const use = step.type === "tool_result" ? findUse(groups, step) : undefined;
    if (use) use.push(step);
    else groups.push([step]);
  }
  return groups;
}

/**
 * @param {Step[][]} groups
 * @param {Step} result
 */
function findUse(groups, result) {
  return groups.findLast(
    ([first, second]) =>
      first?.type === "tool_use" && !second && first.call_id === result.call_id,
  );
}

/**
 * How many steps a step is inside of, as far as the page shows it.
 * @param {Run} run
 * @param {Step | undefined} step
 */
export function depthOf(run, step) {
  let depth = 0;
  let at = step;
  while (at?.parent !== undefined && depth < MAX_DEPTH) {
    const { parent } = at;
    at = run.steps.find((other) => other.step === parent);
    depth += 1;
  }
  return depth;
}

/**
 * What a step is called, with who does it where that is not the run's agent.
 * @param {string} name
 * @param {Step} step
 */
export function named(name, { agent }) {
  return agent ? `${agent} · ${name}` : name;
}

/**
 * @param {Step[]} group
 * @returns {Tick}
 */
export function tickOf(group) {
  const [first, second] = group;
  if (group.some(({ status }) => status === "error")) return "error";
  if (first?.type === "thought") return "thought";
  if (first?.type === "tool_result") return "result";
  return second ? "pair" : "tool";
}

/**
 * A tick for each step; of too many some are left out, but none that failed.
 * @param {Step[][]} groups
 */
export function ticksOf(groups) {
  const ticks = groups.map(tickOf);
  const errors = ticks.filter((tick) => tick === "error").length;
  const others = ticks.length - errors;
  const room = Math.max(0, MAX_TICKS - errors);
  if (others <= room) return ticks;
  let at = 0;
  return ticks.filter((tick) => {
    if (tick === "error") return true;
    at += 1;
    return Math.floor((at * room) / others) > Math.floor(((at - 1) * room) / others);
  });
}

/**
 * The steps before the last ones, of a run that has many; else none.
 * @param {Step[][]} groups
 */
export function earlierOf(groups) {
  return groups.length > FEW ? groups.slice(0, -LAST) : [];
}

/** @param {Step[][]} groups */
export function earlierWords(groups) {
  const failed = failedIn(groups);
  return `${count(groups.length, "earlier step")}${failed && `, ${failed}`}`;
}

/** @param {Step[][]} groups */
function failedIn(groups) {
  const failed = groups.filter((group) => tickOf(group) === "error").length;
  return failed > 0 ? `${failed} failed` : "";
}

/**
 * The one line about the work: what goes on, or what it took; "" where there was none.
 * @param {Run} run
 * @param {Step[][]} groups
 * @param {boolean} isOpen
 * @param {number} now Unix seconds, by the server's clock
 */
export function workWords(run, groups, isOpen, now) {
  if (run.status === "queued" || run.reason === "withdrawn") return "";
  if (run.status === "running") return runningWords(run, groups, now);
  if (groups.length === 0) return run.reason === "stopped" ? endWords(run) : "";
  if (run.enable_reasoning) return doneWords(run, groups);
  return `${isOpen ? "Hide" : "Show"} ${count(groups.length, "step")}`;
}

/**
 * @param {Run} run
 * @param {Step[][]} groups
 */
function doneWords(run, groups) {
  const thoughts = groups.filter(([step]) => step?.type === "thought").length;
  return said(
    endWords(run),
    count(groups.length - thoughts, "tool"),
    count(thoughts, "thought"),
    failedIn(groups),
  );
}

/** @param {...string} words */
function said(...words) {
  return words.filter(Boolean).join(" · ");
}

/** @param {Run} run */
function endWords({ reason, duration_ms }) {
  const took = duration(duration_ms ?? 0);
  if (reason === "stopped") return took ? `Stopped after ${took}` : "Stopped";
  return took ? `Worked ${took}` : "Worked";
}

/**
 * @param {Run} run
 * @param {Step[][]} groups
 * @param {number} now
 */
function runningWords(run, groups, now) {
  const seconds = Math.floor(now - run.timestamp);
  const number = groups.length + (isAnswering(run) ? 1 : 0);
  return said(
    activityOf(run, groups),
    seconds < 2 ? "" : duration(seconds * 1000),
    number > 0 ? `step ${number}` : "",
  );
}

/** Is the last thing that goes on the answer? @param {Run} run */
export function isAnswering(run) {
  return run.steps.at(-1)?.type === "final_answer";
}

/**
 * @param {Run} run
 * @param {Step[][]} groups
 */
function activityOf(run, groups) {
  const tools = groups.filter(isToolRunning);
  if (tools.length > 1) return `Running ${tools.length} tools`;
  const [step] = tools[0] ?? run.steps.slice(-1);
  return step && (tools.length > 0 || step.status === "running")
    ? (ACTIVITIES[step.type]?.(step) ?? "Working")
    : "Working";
}

/** @type {Record<string, (step: Step) => string>} */
const ACTIVITIES = {
  thought: () => "Thinking",
  final_answer: () => "Answering",
  tool_use: ({ tool_name, status }) =>
    `${status === "running" ? "Calling" : "Running"} ${tool_name ?? "a tool"}`,
  tool_result: ({ tool_name }) => `Running ${tool_name ?? "a tool"}`,
};

/**
 * Is this a call that still gets its result? Of a run that goes on.
 * @param {Step[]} group
 */
export function isToolRunning(group) {
  const last = group.at(-1);
  if (!last || last.type === "thought") return false;
  if (last.status === "running") return true;
  return last.type === "tool_use" && last.status === "ok";
}

/**
 * When a run ended, in Unix seconds: when its last step did.
 * @param {Run} run
 */
export function endOf(run) {
  const last = run.steps.at(-1);
  return last ? last.timestamp + (last.duration_ms ?? 0) / 1000 : run.timestamp;
}
