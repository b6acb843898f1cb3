import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts } from "../../static/chat/js/view/drafts.js";
import { fakeStorage } from "./fakes.js";

/** Somebody's browser. */
function person() {
  const storage = fakeStorage();
  let time = 0;
  const now = () => {
    time += 1;
    return time;
  };
  const tab = () => {
    const tabStorage = fakeStorage();
    return (/** @type {string} */ sessionId, isNew = true) =>
      new Drafts({ storage, tabStorage, sessionId, isNew, now });
  };
  return { storage, tab };
}

test("the draft of a new chat moves on to the next one, in its tab", () => {
  const { tab } = person();
  const [one, two] = [tab(), tab()];
  one("a").keep("half");
  assert.equal(two("b").text, "");
  assert.equal(one("c").text, "half");
  assert.equal(one("d").text, "half");
  assert.equal(two("e").text, "");
});

test("once something was asked, the draft is the chat's", () => {
  const { tab } = person();
  const open = tab();
  const drafts = open("a");
  drafts.asked();
  drafts.keep("more");
  assert.equal(open("b").text, "");
  assert.equal(open("a", false).text, "more");
});

test("a new chat can be begun with a text from elsewhere", () => {
  const { tab } = person();
  const open = tab();
  open("a", false).beginNew("again", "x");
  assert.equal(open("b").text, "again");
});

test("of very many drafts the oldest go", () => {
  const { storage, tab } = person();
  const open = tab();
  for (let n = 0; n < 205; n += 1) open(`s${n}`, false).keep(`draft ${n}`);
  assert.equal(storage.keys("draft:").length, 200);
  assert.equal(open("s4", false).text, "");
  assert.equal(open("s5", false).text, "draft 5");
});

test("an empty draft is none, and rubbish neither", () => {
  const { storage, tab } = person();
  const drafts = tab()("a");
  drafts.keep("x");
  drafts.keep("");
  assert.deepEqual(storage.keys("draft:"), []);
  storage.set("draft:a", 7);
  assert.equal(drafts.text, "");
});
