import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../../static/chat/js/client/conversation.js";
import { Diagnostics } from "../../static/chat/js/client/diagnostics.js";
import { Proof, sha256 } from "../../static/chat/js/client/proof.js";
import { ReadMarks } from "../../static/chat/js/client/read_marks.js";
import { writable } from "../../static/chat/js/client/store.js";
import { groupedByDay } from "../../static/chat/js/view/sessions/by_day.js";
import { dayOf, oneLine, size } from "../../static/chat/js/words/format.js";
import { announcementOf, argumentsGist } from "../../static/chat/js/words/summary.js";
import { created, FakeClock, fakeStorage, finishedRun } from "./fakes.js";

/** @import { SessionRow, Step } from "../../static/chat/js/client/types.js" */

/** @param {Partial<Step>} fields @returns {Step} */
const step = (fields) => ({
  step: 0,
  type: "thought",
  iteration: 1,
  content: "",
  status: "ok",
  timestamp: 0,
  ...fields,
});

test("numbers and times read as people write them", () => {
  assert.deepEqual([5, 42_000, 1_500_000].map(size), ["5 B", "42 KB", "1.5 MB"]);
  assert.equal(oneLine("a\n b  c", 10), "a b c");
  assert.equal(oneLine("abcdefgh", 5), "abcde…");
});

test("days are named from where one stands", () => {
  const now = new Date(2026, 4, 20, 0, 30).getTime();
  const at = (/** @type {number} */ ms) => dayOf(ms / 1000, now);
  assert.equal(at(now), "Today");
  assert.equal(at(now - 3_600_000), "Yesterday");
  assert.equal(at(now - 4 * 86_400_000), "Previous 7 days");
  assert.equal(at(now - 20 * 86_400_000), "Previous 30 days");
  assert.equal(at(now - 90 * 86_400_000), "February 2026");
});

test("a call's arguments in a few words", () => {
  const use = step({ type: "tool_use", tool_name: "calculator" });
  assert.equal(argumentsGist({ ...use, tool_input: { expression: "2*3" } }), "2*3");
  assert.equal(argumentsGist({ ...use, content: '{"a":1,"b":"x"}' }), "a: 1, b: x");
  assert.equal(argumentsGist({ ...use, content: '{"a":' }), '{"a":');
});

test("beginnings and ends are announced, each once", () => {
  assert.equal(announcementOf(step({ status: "running" })), "Thinking.");
  assert.equal(announcementOf(step({})), null);
  const result = step({ type: "tool_result", content: "1081" });
  assert.equal(announcementOf(result), "Result: 1081");
});

test("sessions are grouped by day, pinned ones first", () => {
  const now = Date.now();
  /** @param {string} id @param {number} daysAgo @param {boolean} pinned @returns {SessionRow} */
  const row = (id, daysAgo, pinned = false) => ({
    session_id: id,
    title: id,
    agent_name: "a",
    pinned,
    archived: false,
    timestamp: now / 1000 - daysAgo * 86_400,
    status: "idle",
  });
  const groups = groupedByDay([row("old", 1), row("new", 0), row("pin", 9, true)], now);
  assert.deepEqual(
    groups.map(({ heading, rows }) => [heading, rows.map((each) => each.session_id)]),
    [
      ["Pinned", ["pin"]],
      ["Today", ["new"]],
      ["Yesterday", ["old"]],
    ],
  );
});

test("what ended since one looked is marked, once it was looked at", () => {
  const marks = new ReadMarks(fakeStorage());
  /** @type {SessionRow} */
  const row = {
    session_id: "s",
    title: "",
    agent_name: "",
    pinned: false,
    archived: false,
    timestamp: 40,
    status: "idle",
    finished: 100,
  };
  assert.equal(marks.livenessOf(row), "idle");
  marks.note({ ...row, finished: null });
  assert.equal(marks.livenessOf(row), "new");
  assert.equal(marks.livenessOf({ ...row, reason: "failed" }), "failed");
  assert.equal(marks.livenessOf({ ...row, status: "running" }), "running");
  marks.note(row);
  assert.equal(marks.livenessOf(row), "idle");
});

test("digests prove what is held, and a wrong one is told of", async () => {
  const conversation = new Conversation();
  const digest = sha256(crypto.subtle);
  assert.ok(digest);
  const good = step({ content: "héllo", digest: await digest("héllo") });
  const bad = step({ step: 1, content: "other", digest: good.digest ?? "" });
  conversation.merge([
    { ...finishedRun(1), steps: [good] },
    { ...finishedRun(2), steps: [bad] },
  ]);
  /** @type {number[]} */
  const wrong = [];
  const proof = new Proof(conversation, digest, (run) => wrong.push(run));
  proof.check(1);
  proof.check(2);
  await proof.settled();
  assert.deepEqual(wrong, [2]);
  assert.deepEqual(proof.state.get(), { steps: 1, wrong: 1, isPossible: true });
  // Fetched afresh, and still wrong: then it is stored wrong, and no reason to go on.
  proof.check(2);
  await proof.settled();
  proof.check(2);
  await proof.settled();
  assert.deepEqual(wrong, [2]);
  bad.content = "héllo";
  bad.digest = good.digest ?? "";
  conversation.forget(2);
  conversation.merge([{ ...finishedRun(2), steps: [{ ...bad, digest: "another" }] }]);
  proof.check(2);
  conversation.forget(2);
  conversation.merge([{ ...finishedRun(2), steps: [bad] }]);
  proof.check(2);
  await proof.settled();
  assert.deepEqual(proof.state.get(), { steps: 2, wrong: 0, isPossible: true });
});

test("a store tells at once, then of changes only, until it is told to stop", () => {
  const store = writable(1);
  /** @type {number[]} */
  const heard = [];
  const stop = store.subscribe((value) => heard.push(value));
  store.set(1);
  store.set(2);
  stop();
  store.set(3);
  assert.deepEqual(heard, [1, 2]);
});

test("diagnostics count frames, doubles and gaps, and stay bounded", () => {
  const clock = new FakeClock();
  const diagnostics = new Diagnostics(clock);
  diagnostics.report("sent", { type: "ping", size: 2 });
  clock.tick(25);
  diagnostics.report("frame", { type: "pong", size: 10 });
  diagnostics.report("doubles", { run: 1, count: 3 });
  for (let n = 0; n < 300; n += 1) diagnostics.report("gap", { run: 1 });
  assert.equal(diagnostics.latency, 25);
  assert.equal(diagnostics.counts.doubles, 3);
  assert.equal(diagnostics.counts.gaps, 300);
  assert.equal(diagnostics.lines.length, 200);
});

test("a question that waits says for what, and says it anew when that changes", () => {
  const conversation = new Conversation();
  /** @type {number[]} */
  const told = [];
  conversation.apply(1, [created("first")]);
  conversation.apply(2, [created("second")]);
  conversation.subscribe((run) => told.push(run));
  assert.equal(conversation.waitsFor(1), "place");
  assert.equal(conversation.waitsFor(2), "answer");
  conversation.apply(1, [{ seq: 2, kind: "run_started", epoch: 1, timestamp: 1 }]);
  conversation.apply(1, [
    { seq: 3, kind: "run_finished", reason: "answered", duration_ms: 1 },
  ]);
  assert.deepEqual(told, [1, 1, 2]);
  assert.equal(conversation.waitsFor(2), "place");
});
