import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, busyBackoff } from "../../static/chat/js/net/backoff.js";

const most = () => 0.999999;
const least = () => 0;

test("the first try comes within 250 ms, then up to 0.5, 1, 2 … 20 s", () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 7, 8, 40].map((n) => backoff(n, most));
  assert.deepEqual(
    ceilings,
    [250, 500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000],
  );
});

test("full jitter: any of them may be at once", () => {
  assert.equal(backoff(9, least), 0);
});

test("a busy server is left alone for a while", () => {
  assert.equal(busyBackoff(0, least), 5000);
  assert.equal(busyBackoff(0, most), 9000);
});
