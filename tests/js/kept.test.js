import assert from "node:assert/strict";
import { test } from "node:test";
import { Kept } from "../../static/chat/js/model/kept.js";
import { FakeStorage, fakeKept } from "./fakes.js";

test("what is kept is there for the next page", () => {
  const storage = new FakeStorage();
  const open = () => /** @type {any} */ (storage);
  new Kept(open).set("a", { b: 1 });
  assert.deepEqual(new Kept(open).get("a"), { b: 1 });
  new Kept(open).set("a", null);
  assert.equal(storage.length, 0);
});

test("rubbish is nothing", () => {
  const kept = fakeKept({ a: "{", b: "7" });
  assert.equal(kept.get("a"), null);
  assert.deepEqual(kept.list("b"), []);
  assert.equal(kept.get("c"), null);
});

test("a full storage keeps things as long as the page", () => {
  const storage = new FakeStorage();
  storage.setItem("k:1", "1");
  storage.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const kept = new Kept(() => /** @type {any} */ (storage));
  kept.set("k:2", [2]);
  assert.deepEqual(kept.list("k:2"), [2]);
  assert.deepEqual(kept.keys("k:").sort(), ["k:1", "k:2"]);
  kept.set("k:2", null);
  assert.deepEqual(kept.keys("k:"), ["k:1"]);
});

test("a forbidden storage keeps things as long as the page", () => {
  const kept = new Kept(() => {
    throw new DOMException("no", "SecurityError");
  });
  kept.set("a", 1);
  assert.equal(kept.get("a"), 1);
  assert.deepEqual(kept.keys(""), ["a"]);
  kept.set("a", null);
  assert.equal(kept.get("a"), null);
});

test("what is kept for one person is not there for another", () => {
  const storage = new FakeStorage();
  const open = () => /** @type {any} */ (storage);
  new Kept(open, "ada").set("a", 1);
  assert.equal(new Kept(open, "eve").get("a"), null);
  assert.deepEqual(new Kept(open, "ada").keys(""), ["a"]);
  assert.deepEqual(new Kept(open, "eve").keys(""), []);
});

test("who signs in goes on with what the guest had begun", () => {
  const storage = new FakeStorage();
  const open = () => /** @type {any} */ (storage);
  const guest = new Kept(open);
  guest.set("draft:1", "half");
  guest.set("theme", "dark");
  const ada = new Kept(open, "ada");
  ada.adopt(guest, ["draft:", "outbox:"]);
  assert.equal(ada.get("draft:1"), "half");
  assert.deepEqual(guest.keys("draft:"), []);
  assert.equal(guest.get("theme"), "dark");
});
