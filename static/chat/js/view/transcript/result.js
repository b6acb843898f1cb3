/**
 * What a tool returned: JSON, tables and images as such, the rest as text, and of much
 * of it the beginning.
 */

import { size } from "../../words/format.js";
import { button, h } from "../dom.js";
import { image, isInlineImage } from "../markdown/links.js";
import { codeNode, markdownNodes } from "../markdown/nodes.js";
import { highlight } from "../markdown/on_demand.js";
import { scrollBox } from "../markdown/table.js";

const CUT_CHARS = 3_000;
const CUT_LINES = 40;
const MAX_ROWS = 200;
const MAX_COLUMNS = 12;
const PARSE_LIMIT = 1_000_000;

/** @type {WeakMap<Element, string>} the whole text behind a "show all" */
const whole = new WeakMap();

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
  const text = whole.get(pressed);
  const pre = pressed.parentElement?.querySelector("pre");
  if (text === undefined || !pre) return;
  pre.textContent = text;
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
  if (/^\|.*\|\s*\n\|[\s:|-]+\|/.test(content) && content.length < PARSE_LIMIT) {
    return h("div", { class: "prose" }, ...markdownNodes(content));
  }
  const value = parsed(content);
  return value === undefined ? null : valueNode(value);
}

/** @param {string} content @returns {unknown} */
function parsed(content) {
  if (!/^[[{]/.test(content) || content.length > PARSE_LIMIT) return undefined;
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

/** @param {unknown} value */
function valueNode(value) {
  if (isTable(value)) return tableNode(value);
  const text = JSON.stringify(value, null, 2);
  if (isLong(text)) return h("div", {}, ...textNodes(text));
  return codeNode(text, "json");
}

/**
 * Are these rows? Objects of the same few simple fields.
 * @param {unknown} value
 * @returns {value is Record<string, unknown>[]}
 */
function isTable(value) {
  if (!Array.isArray(value) || value.length < 2) return false;
  const columns = Object.keys(value[0] ?? {}).join("\n");
  return (
    columns !== "" &&
    value.every((row) => isFlat(row) && Object.keys(row).join("\n") === columns) &&
    Object.keys(value[0]).length <= MAX_COLUMNS
  );
}

/** @param {unknown} row */
function isFlat(row) {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return false;
  return Object.values(row).every((cell) => typeof cell !== "object" || cell === null);
}

/** @param {Record<string, unknown>[]} rows */
function tableNode(rows) {
  const columns = Object.keys(rows[0] ?? {});
  const head = h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)));
  const body = rows
    .slice(0, MAX_ROWS)
    .map((row) =>
      h("tr", {}, ...columns.map((name) => h("td", {}, String(row[name])))),
    );
  const table = h("table", {}, h("thead", {}, head), h("tbody", {}, ...body));
  const box = h("div", { class: "prose" }, scrollBox(table));
  if (rows.length > MAX_ROWS) {
    const text = `The first ${MAX_ROWS} of ${rows.length.toLocaleString("en")} rows.`;
    box.append(h("p", { class: "note" }, text));
    const all = textNodes(JSON.stringify(rows, null, 2));
    box.append(h("div", {}, ...all));
  }
  return box;
}

/** @param {string} text */
function isLong(text) {
  return text.length > CUT_CHARS || countLines(text) > CUT_LINES;
}

/** @param {string} text */
function textNodes(text) {
  const pre = h("pre", { class: "plain", tabindex: 0 });
  if (!isLong(text)) {
    pre.textContent = text;
    return [pre];
  }
  pre.textContent = `${beginning(text)}…`;
  const all = button(`Show all (${size(text.length)})`, "show-all");
  whole.set(all, text);
  return [pre, all];
}

/** @param {string} text */
function beginning(text) {
  const lines = text.slice(0, CUT_CHARS).split("\n", CUT_LINES);
  return lines.join("\n");
}

/** @param {string} text */
function countLines(text) {
  let count = 1;
  let at = text.indexOf("\n");
  while (at >= 0 && count <= CUT_LINES) {
    count += 1;
    at = text.indexOf("\n", at + 1);
  }
  return count;
}
