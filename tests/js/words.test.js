import assert from "node:assert/strict";
import { test } from "node:test";
import { clockTime, count, duration } from "../../static/chat/js/words/format.js";
import { endingOf, faultOf } from "../../static/chat/js/words/summary.js";
import {
  earlierOf,
  earlierWords,
  ticksOf,
  workOf,
  workWords,
} from "../../static/chat/js/words/work.js";
import { finishedRun } from "./fakes.js";

/** @import { Run, Step } from "../../static/chat/js/client/types.js" */

/** @param {...Partial<Step>} steps @returns {Run} */
function runOf(...steps) {
  return {
    ...finishedRun(1),
    steps: steps.map((step, i) => ({
      step: i,
      type: "thought",
      iteration: 1,
      content: "Hm.",
      status: "ok",
      timestamp: 0,
      ...step,
    })),
  };
}

/** @param {Run} run @param {number} [now] */
const line = (run, now = 0) => workWords(run, workOf(run), false, now);

const THOUGHT = /** @type {const} */ ({ type: "thought" });
const CALL = /** @type {const} */ ({
  type: "tool_use",
  tool_name: "calculator",
  call_id: "a",
});
const RESULT = /** @type {const} */ ({ type: "tool_result", call_id: "a" });
const ANSWER = /** @type {const} */ ({ type: "final_answer" });
const RUNNING = /** @type {const} */ ({ status: "running" });

test("durations are what people say, as tests/test_page.py has them", () => {
  const said = [0, 0.4, 12, 999.4, 999.6, 1250, 3210, 9940, 9960, 12_500, 59_400];
  assert.deepEqual(said.map(duration), [
    "",
    "",
    "12 ms",
    "999 ms",
    "1 s",
    "1.3 s",
    "3.2 s",
    "9.9 s",
    "10 s",
    "13 s",
    "59 s",
  ]);
  assert.equal(duration(59_970), "1 min 0 s");
  assert.equal(duration(125_000), "2 min 5 s");
  assert.equal(duration(7_500_000), "2 h 5 min");
});

test("counts have their plural", () => {
  assert.deepEqual(
    [0, 1, 1234].map((n) => count(n, "tool")),
    ["", "1 tool", "1,234 tools"],
  );
});

test("times say the day where it is not today", () => {
  const now = new Date(2026, 4, 20, 12, 0).getTime();
  const at = (/** @type {Date} */ date) => clockTime(date.getTime() / 1000, now);
  assert.equal(at(new Date(2026, 4, 20, 9, 5)), "09:05");
  assert.equal(at(new Date(2026, 4, 19, 23, 59)), "19 May, 23:59");
  assert.equal(at(new Date(2025, 11, 31, 0, 0)), "31 Dec 2025, 00:00");
});

test("while it works the line says what goes on", () => {
  const going = /** @type {const} */ ({ status: "running" });
  const at = (/** @type {Partial<Step>[]} */ ...steps) =>
    line({ ...runOf(...steps), ...going, timestamp: 100 }, 112);
  assert.equal(at(), "Working · 12 s");
  assert.equal(at({ ...THOUGHT, ...RUNNING }), "Thinking · 12 s · step 1");
  assert.equal(
    at(THOUGHT, { ...CALL, ...RUNNING }),
    "Calling calculator · 12 s · step 2",
  );
  assert.equal(at(THOUGHT, CALL), "Running calculator · 12 s · step 2");
  const second = { ...CALL, call_id: "b" };
  assert.equal(at(THOUGHT, CALL, second), "Running 2 tools · 12 s · step 3");
  assert.equal(at(CALL, RESULT), "Working · 12 s · step 1");
  assert.equal(
    at(CALL, RESULT, { ...ANSWER, ...RUNNING }),
    "Answering · 12 s · step 2",
  );
  assert.equal(
    line({ ...runOf(), ...going, timestamp: 100 }, 101),
    "Working",
    "too short to say",
  );
});

test("when it is over the line says what it took", () => {
  const run = { ...runOf(THOUGHT, CALL, RESULT, ANSWER), duration_ms: 42_000 };
  assert.equal(line(run), "Worked 42 s · 1 tool · 1 thought");
  assert.equal(
    line({ ...run, reason: "stopped" }),
    "Stopped after 42 s · 1 tool · 1 thought",
  );
  assert.equal(line({ ...run, enable_reasoning: false }), "Show 2 steps");
  assert.equal(
    workWords({ ...run, enable_reasoning: false }, workOf(run), true, 0),
    "Hide 2 steps",
  );
  assert.equal(line(runOf(ANSWER)), "", "nothing was done on the way");
  assert.equal(
    line({ ...runOf(), reason: "stopped", duration_ms: 300 }),
    "Stopped after 300 ms",
  );
  const failed = { ...runOf(CALL, { ...RESULT, status: "error" }), duration_ms: 0 };
  assert.equal(line(failed), "Worked · 1 tool · 1 failed");
});

test("ticks are thinned out, but none that failed", () => {
  const many = Array.from({ length: 40 }, () => THOUGHT);
  const groups = workOf(runOf(...many, { ...RESULT, status: "error" }));
  const ticks = ticksOf(groups);
  assert.equal(ticks.length, 24);
  assert.equal(ticks.filter((tick) => tick === "error").length, 1);
  assert.equal(earlierOf(groups).length, 37);
  assert.equal(earlierWords(groups), "41 earlier steps, 1 failed");
  assert.deepEqual(earlierOf(groups.slice(0, 8)), []);
});

test("what went wrong says what is kept and the way on", () => {
  const error = { code: "model_error", message: "It broke", retryable: true };
  const failed = { ...runOf(THOUGHT), reason: /** @type {const} */ ("failed"), error };
  assert.deepEqual(faultOf(failed), {
    name: "Broken off",
    text: "It broke. What was written is kept; Continue goes on from there.",
    way: "Continue",
  });
  const hopeless = { ...failed, error: { ...error, retryable: false } };
  assert.deepEqual(faultOf(hopeless), {
    name: "Failed",
    text: "It broke.",
    way: "Try again",
  });
  assert.equal(faultOf(runOf(ANSWER)), null);
  assert.equal(endingOf({ ...runOf(), reason: "stopped" }), "Stopped");
});
