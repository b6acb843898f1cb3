import assert from "node:assert/strict";
import { test } from "node:test";
import { Painter } from "../../static/chat/js/view/paint.js";

/** A screen of 60 Hz, and something to paint. */
function stage() {
  let time = 0;
  let paints = 0;
  /** @type {(() => void)[]} */
  let frames = [];
  const painter = new Painter(
    (callback) => frames.push(callback),
    () => time,
  );
  const panel = {
    update: () => {
      paints += 1;
    },
  };
  const frame = () => {
    time += 1000 / 60;
    const due = frames;
    frames = [];
    for (const callback of due) callback();
  };
  return { painter, panel, frame, paints: () => paints, waiting: () => frames.length };
}

test("however often something changes, one frame paints it once", () => {
  const { painter, panel, frame, paints, waiting } = stage();
  for (let n = 0; n < 100; n += 1) painter.request(panel);
  assert.equal(waiting(), 1);
  frame();
  assert.equal(paints(), 1);
  frame();
  assert.equal(paints(), 1);
});

test("the first change is painted at the next frame, a stream every second one", () => {
  const { painter, panel, frame, paints } = stage();
  painter.request(panel);
  frame();
  assert.equal(paints(), 1);
  for (let n = 0; n < 60; n += 1) {
    painter.request(panel);
    frame();
  }
  assert.ok(paints() >= 29 && paints() <= 32, `${paints()}`);
});

test("the last change is never forgotten", () => {
  const { painter, panel, frame, paints } = stage();
  painter.request(panel);
  frame();
  painter.request(panel);
  frame();
  frame();
  assert.equal(paints(), 2);
});
