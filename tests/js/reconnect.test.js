import assert from "node:assert/strict";
import { test } from "node:test";
import {
  backoff,
  fiveTries,
  fullJitter,
} from "../../static/chat/js/client/reconnect.js";

const most = () => 0.999999;
const least = () => 0;
const loss = { attempt: 0, code: 1006, isOnline: true, isVisible: true, random: least };

test("the first try comes within 250 ms, then up to 0.5, 1, 2 … 20 s", () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 7, 8, 40].map((n) => backoff(n, most));
  assert.deepEqual(
    ceilings,
    [250, 500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000],
  );
});

test("full jitter: any of them may be at once", () => {
  assert.equal(fullJitter({ ...loss, attempt: 9 }), 0);
});

test("a busy server is left alone for a while", () => {
  assert.equal(fullJitter({ ...loss, code: 4429 }), 5000);
  assert.equal(fullJitter({ ...loss, code: 4429, random: most }), 9000);
});

test("a page that nobody looks at gives up after eight attempts", () => {
  assert.equal(fullJitter({ ...loss, isVisible: false, attempt: 7 }), 0);
  assert.equal(fullJitter({ ...loss, isVisible: false, attempt: 8 }), null);
});

test("the reference system tries five times, 2, 4, 6, 8 and 10 s apart", () => {
  const waits = [0, 1, 2, 3, 4, 5].map((attempt) => fiveTries({ ...loss, attempt }));
  assert.deepEqual(waits, [2000, 4000, 6000, 8000, 10_000, null]);
});
