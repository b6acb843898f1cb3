import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { apply, emptyRun, fold } from "../../static/chat/js/client/transcript.js";
import "./page.js";

const { RunView } = await import("../../static/chat/js/view/transcript/run.js");
const { PendingView } = await import("../../static/chat/js/view/transcript/pending.js");

/** @import { Context } from "../../static/chat/js/view/transcript/card.js" */
/** @import { OutboxItem, Run } from "../../static/chat/js/client/types.js" */

const CONTRACT = path.join(import.meta.dirname, "..", "contract");
const streams = readdirSync(CONTRACT)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(path.join(CONTRACT, name), "utf8")));

const CONTEXT = /** @type {Context} */ (
  /** @type {unknown} */ ({
    folds: { chosen: () => undefined, choose: () => {} },
    now: () => 0,
    serverNow: () => 1_800_000_000,
    waitsFor: () => "answer",
    isFollowing: () => true,
  })
);

/** @param {InstanceType<typeof RunView>} view @param {Run} run */
function show(view, run) {
  for (let frames = 0; !view.update(run); frames += 1) assert.ok(frames < 1000);
  return view.element.outerHTML;
}

for (const { name, run, events } of streams) {
  test(`${name} looks live as it does after a reload`, () => {
    const state = emptyRun(run);
    const live = new RunView(state, CONTEXT);
    let shown = "";
    for (const event of events) {
      apply(state, event);
      shown = show(live, state);
    }
    const whole = fold(run, events);
    assert.equal(shown, show(new RunView(whole, CONTEXT), whole));
    for (const { step, type } of whole.steps) {
      const element = live.element.querySelector(`[data-step="${step}"]`);
      assert.equal(element?.getAttribute("data-type"), type);
    }
  });
}

test("progress stands in the card of the tool until its result is there", () => {
  const [{ run, events }] = streams.filter(({ name }) => name === "progress");
  const state = emptyRun(run);
  const view = new RunView(state, CONTEXT);
  const line = (step = 2) =>
    view.element.querySelector(`[data-step="${step}"] .progress:not([hidden])`);
  /** @type {(string | undefined)[]} */
  const told = [];
  for (const event of events) {
    apply(state, event);
    show(view, state);
    if (event.kind !== "step_progress") continue;
    told.push(line(event.step)?.textContent ?? undefined);
    if (event.seq !== 14) continue;
    const bar = line()?.querySelector("progress");
    assert.deepEqual([bar?.value, bar?.max], [4.5, 10]);
    assert.equal(bar?.getAttribute("aria-label"), "Progress");
    assert.match(
      view.element.querySelector("summary .half + .half")?.textContent ?? "",
      /4.5 of 10/,
    );
  }
  assert.deepEqual(told, ["3 of 10 · sheep", "4.5 of 10", "羊 🐑", "2", undefined]);
  assert.equal(view.element.querySelector(".progress:not([hidden])"), null);
});

test("a message that waits says what for", () => {
  const item = /** @type {OutboxItem} */ ({ client_id: "a", message: "Hi", at: 0 });
  const view = new PendingView("a");
  /** @param {Partial<OutboxItem>} more @param {string} state */
  const words = (more, state, isDeleted = false) => {
    const line = /** @type {any} */ ({ state });
    view.update({ ...item, ...more }, line, isDeleted);
    return view.element.querySelector(".ask__state")?.textContent;
  };
  assert.equal(words({}, "live"), "Sending…");
  assert.equal(words({}, "waiting"), "Sent when the line is back");
  assert.equal(words({}, "ended"), "Not sent");
  assert.equal(words({}, "ended", true), "Not sent: the chat was deleted");
  const error = { code: "too_long", message: "It is too long.", retryable: false };
  assert.equal(words({ error }, "live"), "Not sent. It is too long.");
  assert.match(view.element.outerHTML, /Send again/);
});
