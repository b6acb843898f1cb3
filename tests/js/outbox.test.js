import assert from "node:assert/strict";
import { test } from "node:test";
import { OUTBOX_LIMIT, Outbox } from "../../static/chat/js/client/outbox.js";
import { fakeStorage } from "./fakes.js";

/** @param {string} id @param {number} at */
const item = (id, at) => ({ client_id: id, message: `message ${id}`, at });
/** @param {Outbox} outbox */
const ids = (outbox) => outbox.items.get().map((each) => each.client_id);

test("survives reload, in the order things were said", () => {
  const storage = fakeStorage();
  const outbox = new Outbox(storage, "s");
  outbox.put(item("b", 2));
  outbox.put(item("a", 1));
  assert.deepEqual(ids(outbox), ["a", "b"]);
  assert.deepEqual(ids(new Outbox(storage, "s")), ["a", "b"]);
});

test("each session has its own", () => {
  const storage = fakeStorage();
  new Outbox(storage, "s").put(item("a", 1));
  const other = new Outbox(storage, "other");
  assert.deepEqual(ids(other), []);
  assert.deepEqual(other.elsewhere(), ["s"]);
});

test("two tabs do not overwrite each other", () => {
  const storage = fakeStorage();
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
  const outbox = new Outbox(fakeStorage(), "s");
  outbox.put(item("a", 1));
  outbox.put(item("b", 2));
  outbox.remove("a");
  const error = { code: "bad_message", message: "No." };
  outbox.refuse("b", error);
  assert.deepEqual(outbox.items.get(), [{ ...item("b", 2), error }]);
});

test("a full outbox refuses", () => {
  const outbox = new Outbox(fakeStorage(), "s");
  for (let n = 0; n < OUTBOX_LIMIT; n += 1) assert.ok(outbox.put(item(`${n}`, n)));
  assert.equal(outbox.put(item("more", 99)), false);
});

test("rubbish in the storage is passed over", () => {
  const storage = fakeStorage({ "outbox:s:x": "{", "outbox:s:y": "7" });
  assert.deepEqual(ids(new Outbox(storage, "s")), []);
});

test("an accepted message is shown until its run is there, but not stored", () => {
  const storage = fakeStorage();
  const outbox = new Outbox(storage, "s");
  outbox.put(item("a", 1));
  outbox.accept("a");
  assert.deepEqual(outbox.items.get(), [{ ...item("a", 1), isAccepted: true }]);
  assert.equal(outbox.next, undefined);
  assert.deepEqual(ids(new Outbox(storage, "s")), []);
  outbox.refresh();
  assert.deepEqual(ids(outbox), ["a"]);
  outbox.remove("a");
  assert.deepEqual(ids(outbox), []);
});
