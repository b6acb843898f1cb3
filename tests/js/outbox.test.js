import assert from "node:assert/strict";
import { test } from "node:test";
import { OUTBOX_LIMIT, Outbox } from "../../static/chat/js/net/outbox.js";
import { FakeStorage } from "./fakes.js";

/** @param {string} id @param {number} at */
const item = (id, at) => ({ client_id: id, message: `message ${id}`, at });
/** @param {Outbox} outbox */
const ids = (outbox) => outbox.items.get().map((each) => each.client_id);

test("survives reload, in the order things were said", () => {
  const storage = new FakeStorage();
  const outbox = new Outbox(storage, "s");
  outbox.put(item("b", 2));
  outbox.put(item("a", 1));
  assert.deepEqual(ids(outbox), ["a", "b"]);
  assert.deepEqual(ids(new Outbox(storage, "s")), ["a", "b"]);
});

test("each session has its own", () => {
  const storage = new FakeStorage();
  new Outbox(storage, "s").put(item("a", 1));
  assert.deepEqual(ids(new Outbox(storage, "other")), []);
});

test("two tabs do not overwrite each other", () => {
  const storage = new FakeStorage();
  const [one, two] = [new Outbox(storage, "s"), new Outbox(storage, "s")];
  one.put(item("a", 1));
  two.put(item("b", 2));
  one.refresh();
  assert.deepEqual(ids(one), ["a", "b"]);
  two.remove("b");
  assert.ok(one.concerns("outbox:s:b"));
  one.refresh();
  assert.deepEqual(ids(one), ["a"]);
});

test("accepted messages go, refused ones stay and say why", () => {
  const outbox = new Outbox(new FakeStorage(), "s");
  outbox.put(item("a", 1));
  outbox.put(item("b", 2));
  outbox.remove("a");
  outbox.refuse("b", "No.");
  assert.deepEqual(outbox.items.get(), [{ ...item("b", 2), error: "No." }]);
});

test("a full outbox refuses", () => {
  const outbox = new Outbox(new FakeStorage(), "s");
  for (let n = 0; n < OUTBOX_LIMIT; n += 1) assert.ok(outbox.put(item(`${n}`, n)));
  assert.equal(outbox.put(item("more", 99)), false);
});

test("rubbish in the storage is passed over", () => {
  const storage = new FakeStorage();
  storage.setItem("outbox:s:x", "{");
  storage.setItem("outbox:s:y", "7");
  assert.deepEqual(ids(new Outbox(storage, "s")), []);
});

test("without room in the storage a message lives as long as the page", () => {
  const storage = new FakeStorage();
  storage.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const outbox = new Outbox(storage, "s");
  assert.ok(outbox.put(item("a", 1)));
  assert.deepEqual(ids(outbox), ["a"]);
});
