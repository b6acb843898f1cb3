import assert from "node:assert/strict";
import { test } from "node:test";
import { OUTBOX_LIMIT, Outbox } from "../../static/chat/js/net/outbox.js";
import { fakeKept } from "./fakes.js";

/** @param {string} id @param {number} at */
const item = (id, at) => ({ client_id: id, message: `message ${id}`, at });
/** @param {Outbox} outbox */
const ids = (outbox) => outbox.items.get().map((each) => each.client_id);

test("survives reload, in the order things were said", () => {
  const kept = fakeKept();
  const outbox = new Outbox(kept, "s");
  outbox.put(item("b", 2));
  outbox.put(item("a", 1));
  assert.deepEqual(ids(outbox), ["a", "b"]);
  assert.deepEqual(ids(new Outbox(kept, "s")), ["a", "b"]);
});

test("each session has its own", () => {
  const kept = fakeKept();
  new Outbox(kept, "s").put(item("a", 1));
  const other = new Outbox(kept, "other");
  assert.deepEqual(ids(other), []);
  assert.deepEqual(other.elsewhere(), ["s"]);
});

test("two tabs do not overwrite each other", () => {
  const kept = fakeKept();
  const [one, two] = [new Outbox(kept, "s"), new Outbox(kept, "s")];
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
  const outbox = new Outbox(fakeKept(), "s");
  outbox.put(item("a", 1));
  outbox.put(item("b", 2));
  outbox.remove("a");
  outbox.refuse("b", "No.");
  assert.deepEqual(outbox.items.get(), [{ ...item("b", 2), error: "No." }]);
});

test("a full outbox refuses", () => {
  const outbox = new Outbox(fakeKept(), "s");
  for (let n = 0; n < OUTBOX_LIMIT; n += 1) assert.ok(outbox.put(item(`${n}`, n)));
  assert.equal(outbox.put(item("more", 99)), false);
});

test("rubbish in the storage is passed over", () => {
  const kept = fakeKept({ "outbox:s:x": "{", "outbox:s:y": "7" });
  assert.deepEqual(ids(new Outbox(kept, "s")), []);
});
