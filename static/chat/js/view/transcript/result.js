/**
 * What a tool was given and what it returned: JSON, tables and images as such, the rest
 * as a terminal would show it, and of much of it the beginning.
 *
 * The twin of chat/templatetags/readable.py, but for tables and images.
 *
 * @import { Step } from "../../client/types.js"
 * @import { Part, Value } from "../../words/values.js"
 */

import { cut } from "../../words/cut.js";
import { size } from "../../words/format.js";
import { argumentsOf } from "../../words/summary.js";
import { terminalText } from "../../words/terminal.js";
import { jsonValue, laidOut, plainly } from "../../words/values.js";
import { button, h } from "../dom.js";
import { image, isInlineImage } from "../markdown/links.js";
import { codeNode, markdownNodes } from "../markdown/nodes.js";
import { highlight } from "../markdown/on_demand.js";
import { scrollBox } from "../markdown/table.js";

const CUT_CHARS = 3_000;
const CUT_LINES = 40;
const MAX_ROWS = 200;
const MAX_COLUMNS = 12;
const TABLE_LIMIT = 1_000_000;
/** Of a longer text only so much is read until all of it is asked for. */
const SOURCE_CHARS = 30_000;

/** @type {WeakMap<Element, () => Part[]>} all that is behind a "show all" */
const whole = new WeakMap();

/**
 * @param {HTMLElement} root
 * @param {Step} step a tool's call
 */
export function renderArguments(root, step) {
  if (step.status === "running") {
    // What is written now is at the end.
    const start = Math.max(0, step.content.length - CUT_CHARS);
    root.replaceChildren(preNode([textPart(step.content.slice(start))]));
    return;
  }
  const value = argumentsOf(step);
  root.replaceChildren(
    ...(value ? partNodes(laidOut(value)) : textNodes(step.content)),
  );
}

/**
 * @param {HTMLElement} root
 * @param {string} content
 * @param {boolean} isDone until then it is shown as text
 */
export function renderResult(root, content, isDone) {
  const shaped = isDone ? shapedNode(content.trim()) : null;
  root.replaceChildren(...(shaped ? [shaped] : textNodes(content)));
  const code = root.querySelector("figure.code code");
  if (code instanceof HTMLElement) highlight(code, "json");
}

/**
 * Everything, after a press of "show all".
 * @param {HTMLElement} pressed
 */
export function showAll(pressed) {
  const parts = whole.get(pressed);
  const pre = pressed.parentElement?.querySelector("pre");
  if (!parts || !pre) return;
  pre.replaceChildren(...insideOf(parts()));
  pre.classList.add("is-whole");
  pre.focus();
  pressed.remove();
}

/** @param {string} content */
function shapedNode(content) {
  if (isInlineImage(content)) return image(content, "Image returned by the tool");
  if (/^https?:\/\/\S+\.(?:png|jpe?g|gif|webp|svg)$/i.test(content)) {
    return image(content, "Image");
  }
  if (/^\|.*\|\s*\n\|[\s:|-]+\|/.test(content) && content.length < TABLE_LIMIT) {
    return h("div", { class: "prose" }, ...markdownNodes(content));
  }
  const value = /^[[{]/.test(content) ? jsonValue(content) : undefined;
  return value ? valueNode(value) : null;
}

/** @param {Value} value */
function valueNode(value) {
  const rows = rowsOf(value);
  if (rows) return tableNode(rows, value);
  const parts = laidOut(value);
  const [part] = parts;
  if (part && parts.length === 1 && !isLong(parts)) return codeNode(part.text, "json");
  return h("div", {}, ...partNodes(parts));
}

/**
 * The rows of a table, if this is one: objects of the same few simple fields.
 * @param {Value} value
 * @returns {[string, Value][][] | null}
 */
function rowsOf(value) {
  if (value.kind !== "array" || value.items.length < 2) return null;
  const rows = value.items.map((item) => (item.kind === "object" ? item.entries : []));
  const columns = namesOf(rows[0] ?? []);
  const isTable =
    columns !== "" &&
    (rows[0]?.length ?? 0) <= MAX_COLUMNS &&
    rows.every((row) => namesOf(row) === columns && row.every(isSimple));
  return isTable ? rows : null;
}

/** @param {[string, Value][]} row */
function namesOf(row) {
  return row.map(([name]) => name).join("\n");
}

/** @param {[string, Value]} entry */
function isSimple([, { kind }]) {
  return kind === "plain" || kind === "string";
}

/**
 * @param {[string, Value][][]} rows
 * @param {Value} value that they come from
 */
function tableNode(rows, value) {
  const names = (rows[0] ?? []).map(([name]) => h("th", { scope: "col" }, name));
  const body = rows
    .slice(0, MAX_ROWS)
    .map((row) => h("tr", {}, ...row.map(([, cell]) => h("td", {}, plainly(cell)))));
  const table = h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...names)),
    h("tbody", {}, ...body),
  );
  const box = h("div", { class: "prose" }, scrollBox(table));
  if (rows.length > MAX_ROWS) {
    const text = `The first ${MAX_ROWS} of ${rows.length.toLocaleString("en")} rows.`;
    box.append(h("p", { class: "note" }, text));
    box.append(h("div", {}, ...partNodes(laidOut(value))));
  }
  return box;
}

/**
 * @param {string} text
 * @returns {Part}
 */
function textPart(text) {
  return { text: terminalText(text), isLines: false };
}

/** @param {string} text */
function textNodes(text) {
  if (text.length <= SOURCE_CHARS) return partNodes([textPart(text)]);
  const start = [textPart(cut(text, SOURCE_CHARS))];
  return cutNodes(beginning(start), text.length, () => [textPart(text)]);
}

/** @param {Part[]} parts */
function partNodes(parts) {
  if (!isLong(parts)) return [preNode(parts)];
  const length = parts.reduce((sum, { text }) => sum + text.length, 0);
  return cutNodes(beginning(parts), length, () => parts);
}

/**
 * @param {Part[]} shown
 * @param {number} length of all
 * @param {() => Part[]} all
 */
function cutNodes(shown, length, all) {
  const press = button(`Show all (${size(length)})`, "show-all");
  whole.set(press, all);
  return [preNode(shown), press];
}

/** @param {Part[]} parts */
function preNode(parts) {
  return h("pre", { class: "plain", tabindex: 0 }, ...insideOf(parts));
}

/** @param {Part[]} parts */
function insideOf(parts) {
  return parts.map(({ text, isLines }) =>
    isLines ? h("span", { class: "lines" }, text) : text,
  );
}

/** @param {Part[]} parts */
function isLong(parts) {
  const length = parts.reduce((sum, { text }) => sum + text.length, 0);
  return length > CUT_CHARS || countLines(parts) > CUT_LINES;
}

/** @param {Part[]} parts */
function countLines(parts) {
  let count = 1;
  for (const { text } of parts) {
    let at = text.indexOf("\n");
    while (at >= 0 && count <= CUT_LINES) {
      count += 1;
      at = text.indexOf("\n", at + 1);
    }
  }
  return count;
}

/**
 * As much as is shown at first.
 * @param {Part[]} parts
 */
function beginning(parts) {
  let chars = CUT_CHARS;
  let lines = CUT_LINES;
  /** @type {Part[]} */
  const shown = [];
  for (const { text, isLines } of parts) {
    const whole = cut(text, chars).split("\n").slice(0, lines);
    const start = whole.join("\n");
    const isCut = start.length < text.length;
    shown.push({ text: isCut ? `${start}…` : text, isLines });
    if (isCut) break;
    chars -= text.length;
    lines -= whole.length - 1;
  }
  return shown;
}
