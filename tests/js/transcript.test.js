import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  apply,
  emptyRun,
  fold,
  GapError,
} from "../../static/chat/js/client/transcript.js";
import { created, seeded } from "./fakes.js";

/** @import { RunEvent } from "../../static/chat/js/client/types.js" */

const CONTRACT = path.join(import.meta.dirname, "..", "contract");
const streams = readdirSync(CONTRACT)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(path.join(CONTRACT, name), "utf8")));

for (const { name, run, events, view } of streams) {
  test(`contract: ${name} folds to what Python folds it to`, () => {
    assert.deepEqual(fold(run, events), view);
  });

  test(`contract: ${name} comes out the same however it is merged and repeated`, () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = seeded(seed);
      const state = emptyRun(run);
      for (const event of repeated(merged(events, random), random)) apply(state, event);
      assert.deepEqual(state, view);
    }
  });
}

test("there are contract streams", () => assert.ok(streams.length >= 5));

/**
 * Neighbouring deltas of one step made one, here and there.
 * @param {RunEvent[]} events
 * @param {() => number} random
 */
function merged(events, random) {
  /** @type {RunEvent[]} */
  const result = [];
  for (const event of events) {
    const last = result.at(-1);
    if (
      last?.kind === "step_delta" &&
      event.kind === "step_delta" &&
      last.step === event.step &&
      random() < 0.6
    ) {
      const first = last.first ?? last.seq;
      const text = last.text + event.text;
      result[result.length - 1] = { ...event, first, text };
    } else result.push(event);
  }
  return result;
}

/**
 * Some of it once more, later.
 * @param {RunEvent[]} events
 * @param {() => number} random
 */
function repeated(events, random) {
  return events.flatMap((event, i) =>
    random() < 0.3
      ? [event, .../** @type {RunEvent[]} */ (events.slice(0, i + 1))]
      : [event],
  );
}

test("an event applied before changes nothing and says so", () => {
  const run = fold(1, [created("hi")]);
  assert.equal(apply(run, created("other")), false);
  assert.equal(run.prompt, "hi");
});

test("a missing event is a gap, and nothing is changed", () => {
  const run = fold(1, [created("hi")]);
  assert.throws(
    () => apply(run, { seq: 3, kind: "run_started", epoch: 1, timestamp: 0 }),
    GapError,
  );
  assert.equal(run.seq, 1);
  assert.equal(run.status, "queued");
});

test("a merged event that overlaps what is held is a gap", () => {
  const run = fold(1, [
    created("hi"),
    {
      seq: 2,
      kind: "step_started",
      step: 0,
      type: "thought",
      iteration: 1,
      timestamp: 0,
    },
    { seq: 3, kind: "step_delta", step: 0, text: "a" },
  ]);
  const overlap = /** @type {const} */ ({
    seq: 4,
    first: 3,
    kind: "step_delta",
    step: 0,
    text: "ab",
  });
  assert.throws(() => apply(run, overlap), GapError);
  assert.equal(run.steps[0]?.content, "a");
});

test("200,000 tokens fold in no time", () => {
  /** @type {RunEvent[]} */
  const events = [
    created("hi"),
    {
      seq: 2,
      kind: "step_started",
      step: 0,
      type: "thought",
      iteration: 1,
      timestamp: 0,
    },
  ];
  for (let seq = 3; seq < 200_003; seq += 1) {
    events.push({ seq, kind: "step_delta", step: 0, text: "word " });
  }
  const start = performance.now();
  assert.equal(fold(1, events).steps[0]?.content.length, 1_000_000);
  assert.ok(performance.now() - start < 2_000);
});
