import "./page.js";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const { cut } = await import("../../static/chat/js/words/cut.js");
const { oneLine } = await import("../../static/chat/js/words/format.js");
const { argumentsGist, contentGist } = await import(
  "../../static/chat/js/words/summary.js"
);
const { terminalText } = await import("../../static/chat/js/words/terminal.js");
const { compact, jsonValue, laidOut } = await import(
  "../../static/chat/js/words/values.js"
);
const { progressWords, shareOf } = await import(
  "../../static/chat/js/words/progress.js"
);
const { renderArguments, renderResult, showAll } = await import(
  "../../static/chat/js/view/transcript/result.js"
);

/** @import { Step } from "../../static/chat/js/client/types.js" */
/** @import { Value } from "../../static/chat/js/words/values.js" */

const FILE = new URL("../contract/words/texts.json", import.meta.url);
const TEXTS = JSON.parse(await readFile(FILE, "utf8"));

/** @param {string} content @param {Partial<Step>} [more] @returns {Step} */
const step = (content, more = {}) => ({
  step: 0,
  type: "tool_use",
  iteration: 1,
  content,
  status: "ok",
  timestamp: 0,
  ...more,
});

/** @param {string} content @param {Partial<Step>} [more] */
function shownArguments(content, more) {
  const root = document.createElement("div");
  renderArguments(root, step(content, more));
  return root;
}

/** @param {string} content */
function shownResult(content) {
  const root = document.createElement("div");
  renderResult(root, content, true);
  return root;
}

for (const [text, shown] of TEXTS.terminal) {
  test(`a terminal would show ${JSON.stringify(shown)}`, () => {
    assert.equal(terminalText(text), shown);
  });
}

for (const [text, limit, line] of TEXTS.one_line) {
  test(`a line is cut between characters: ${line}`, () => {
    assert.equal(oneLine(text, limit), line);
  });
}

for (const [progress, words, share] of TEXTS.progress) {
  test(`progress is told in words, and as a bar where the whole is known: ${words}`, () => {
    assert.equal(progressWords(progress), words);
    assert.deepEqual(shareOf(progress), share);
  });
}

for (const { text, compact: short, parts } of TEXTS.values) {
  test(`values keep what was written: ${text.slice(0, 40)}`, () => {
    const value = /** @type {Value} */ (jsonValue(text));
    assert.equal(compact(value), short);
    assert.deepEqual(
      laidOut(value).map((part) => [part.text, part.isLines]),
      parts,
    );
  });
}

test("what is no JSON is text, and so is what is nested too deep", () => {
  for (const text of TEXTS.no_values) assert.equal(jsonValue(text), undefined, text);
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  assert.equal(jsonValue(deep), undefined);
});

test("cards show the digits that were sent, in their order", () => {
  const text = '{"account": 2512292042121000001, "ratio": 1.10, "2": 1, "1": 1e400}';
  const tool_input = JSON.parse(text);
  assert.equal(
    argumentsGist(step(text, { tool_input })),
    "account: 2512292042121000001, ratio: 1.10, 2: 1, 1: 1e400",
  );
  const shown = shownArguments(text, { tool_input }).textContent ?? "";
  for (const number of ["2512292042121000001", "1.10", "1e400"]) {
    assert.ok(shown.includes(number), number);
  }
  const rows =
    '[{"id": 1610521604143693812, "n": 1.0}, {"id": 1610521604143693813, "n": 2.50}]';
  const cells = [...shownResult(rows).querySelectorAll("td")].map((e) => e.textContent);
  assert.deepEqual(cells, [
    "1610521604143693812",
    "1.0",
    "1610521604143693813",
    "2.50",
  ]);
});

test("a string of several lines is shown as these, with plain quotes", () => {
  const content = 'def f(x):\n    return x  # "quoted"\n';
  const root = shownArguments(JSON.stringify({ path: "a.py", content, n: 1 }));
  assert.equal(root.querySelector(".lines")?.textContent, content);
  assert.match(root.textContent ?? "", /"path": "a.py"/);
});

test("of long arguments the beginning is shown, and all when asked for", () => {
  const content = "line 🎉\n".repeat(50_000);
  const root = shownArguments(JSON.stringify({ content }));
  assert.ok((root.textContent ?? "").length < 6_000);
  const press = root.querySelector("button");
  assert.ok(press instanceof HTMLElement);
  showAll(press);
  assert.equal(root.querySelector(".lines")?.textContent, content);
  assert.equal(root.querySelector("button"), null);
});

test("a call that is still written shows its end", () => {
  const text = `{"content": "${"x".repeat(100_000)}the end`;
  const root = shownArguments(text, { status: "running" });
  assert.ok((root.textContent ?? "").length <= 3_000);
  assert.match(root.textContent ?? "", /the end$/);
});

test("control codes of a result are not shown, and it is kept as it is", () => {
  const content = "\u001b[32mPASS\u001b[0m a\n 10%\r100% done";
  assert.equal(shownResult(content).textContent, "PASS a\n100% done");
  assert.equal(contentGist(step(content)), "PASS a 100% done");
  assert.equal(
    shownResult('{"out": "\\u001b[1mok\\u001b[0m"}').querySelector("code")?.textContent,
    '{\n  "out": "ok"\n}',
  );
});

test("a long result is cut between characters", () => {
  const content = `${"x".repeat(2_999)}🎉🎉`;
  const root = shownResult(content);
  assert.equal(root.querySelector("pre")?.textContent, `${"x".repeat(2_999)}🎉…`);
  assert.equal(cut("a👩‍👩‍👧", 3), "a");
});
