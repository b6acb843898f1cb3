import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonStorage } from "../../static/chat/js/client/storage.js";
import { FakeStorage, fakeStorage } from "./fakes.js";

test("what is kept is there for the next page", () => {
  const storage = new FakeStorage();
  const open = () => /** @type {any} */ (storage);
  new JsonStorage(open).set("a", { b: 1 });
  assert.deepEqual(new JsonStorage(open).get("a"), { b: 1 });
  new JsonStorage(open).set("a", null);
  assert.equal(storage.length, 0);
});

test("rubbish is nothing", () => {
  const storage = fakeStorage({ a: "{", b: "7" });
  assert.equal(storage.get("a"), null);
  assert.deepEqual(storage.list("b"), []);
  assert.equal(storage.get("c"), null);
});

test("a full storage keeps things as long as the page", () => {
  const storage = new FakeStorage();
  storage.setItem("k:1", "1");
  storage.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const kept = new JsonStorage(() => /** @type {any} */ (storage));
  kept.set("k:2", [2]);
  assert.deepEqual(kept.list("k:2"), [2]);
  assert.deepEqual(kept.keys("k:").sort(), ["k:1", "k:2"]);
  kept.set("k:2", null);
  assert.deepEqual(kept.keys("k:"), ["k:1"]);
});

test("a forbidden storage keeps things as long as the page", () => {
  const storage = new JsonStorage(() => {
    throw new DOMException("no", "SecurityError");
  });
  storage.set("a", 1);
  assert.equal(storage.get("a"), 1);
  assert.deepEqual(storage.keys(""), ["a"]);
  storage.set("a", null);
  assert.equal(storage.get("a"), null);
});

test("what is kept for one person is not there for another", () => {
  const storage = new FakeStorage();
  const open = () => /** @type {any} */ (storage);
  new JsonStorage(open, "ada").set("a", 1);
  assert.equal(new JsonStorage(open, "eve").get("a"), null);
  assert.deepEqual(new JsonStorage(open, "ada").keys(""), ["a"]);
  assert.deepEqual(new JsonStorage(open, "eve").keys(""), []);
});

test("who signs in goes on with what the guest had begun", () => {
  const storage = new FakeStorage();
  const open = () => /** @type {any} */ (storage);
  const guest = new JsonStorage(open);
  guest.set("draft:1", "half");
  guest.set("theme", "dark");
  const ada = new JsonStorage(open, "ada");
  ada.adopt(guest, ["draft:", "outbox:"]);
  assert.equal(ada.get("draft:1"), "half");
  assert.deepEqual(guest.keys("draft:"), []);
  assert.equal(guest.get("theme"), "dark");
});
