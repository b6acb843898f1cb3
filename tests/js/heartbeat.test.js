import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Heartbeat } from "../../static/chat/js/client/heartbeat.js";
import { FakeClock } from "./fakes.js";

/** @type {FakeClock} */
let clock;
let pings = 0;
let deaths = 0;
/** @type {boolean[]} */
let doubts = [];
/** @type {Heartbeat} */
let heartbeat;

beforeEach(() => {
  clock = new FakeClock();
  pings = deaths = 0;
  doubts = [];
  heartbeat = new Heartbeat({
    clock,
    interval: 30_000,
    ping: () => {
      pings += 1;
    },
    dead: () => {
      deaths += 1;
    },
    doubted: (isInDoubt) => doubts.push(isInDoubt),
  });
  heartbeat.start();
});

test("pings after 30 s, not a millisecond before", () => {
  clock.tick(29_999);
  assert.equal(pings, 0);
  clock.tick(1);
  assert.equal(pings, 1);
});

test("dead when nothing came within 10 s of a ping", () => {
  clock.tick(39_999);
  assert.equal(deaths, 0);
  clock.tick(1);
  assert.equal(deaths, 1);
  assert.equal(clock.pending, 0);
});

test("anything heard is an answer", () => {
  clock.tick(35_000);
  heartbeat.heard();
  clock.tick(29_999);
  assert.equal(deaths, 0);
  assert.equal(pings, 1);
  clock.tick(1);
  assert.equal(pings, 2);
});

test("asked to check, it pings at once, and once", () => {
  heartbeat.check();
  heartbeat.check();
  assert.equal(pings, 1);
  clock.tick(10_000);
  assert.equal(deaths, 1);
});

test("after the machine slept, it asks again before it despairs", () => {
  clock.tick(30_000);
  clock.sleep(3_600_000);
  clock.tick(0);
  assert.equal(deaths, 0);
  assert.equal(pings, 2);
  clock.tick(10_000);
  assert.equal(deaths, 1);
});

test("stopped, it does nothing any more", () => {
  heartbeat.stop();
  heartbeat.check();
  heartbeat.heard();
  clock.tick(100_000);
  assert.deepEqual([pings, deaths], [0, 0]);
});

test("an answer that takes longer than 2 s is in doubt until it comes", () => {
  clock.tick(31_999);
  assert.deepEqual(doubts, []);
  clock.tick(1);
  assert.deepEqual(doubts, [true]);
  heartbeat.heard();
  assert.deepEqual(doubts, [true, false]);
  clock.tick(29_999);
  assert.equal(pings, 1);
});

test("told to doubt, it asks, and doubts at once", () => {
  heartbeat.doubt();
  heartbeat.doubt();
  assert.equal(pings, 1);
  assert.deepEqual(doubts, [true]);
  clock.tick(10_000);
  assert.equal(deaths, 1);
});
