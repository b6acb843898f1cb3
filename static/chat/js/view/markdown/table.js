/**
 * Tables: they scroll by themselves, and of a very long one the first rows come first.
 *
 * @import { Token } from "../../../vendor/markdown-it.js"
 */

import { button, h, iconButton } from "../dom.js";

const FIRST_ROWS = 200;
const ROWS_PER_CLICK = 2_000;

/** @typedef {(token: Token, isCell: boolean) => Node[]} Inline */

/**
 * What "show more" still has to show.
 * @type {WeakMap<Element, { rows: Token[][], inline: Inline }>}
 */
const hidden = new WeakMap();

/**
 * @param {Token[]} tokens inside the table
 * @param {Inline} inline
 */
export function tableNode(tokens, inline) {
  const [head = [], ...rows] = rowsOf(tokens);
  const body = h("tbody", {});
  const box = scrollBox(h("table", {}, h("thead", {}, rowNode(head, inline)), body));
  addRows(body, rows.slice(0, FIRST_ROWS), inline);
  const rest = rows.slice(FIRST_ROWS);
  const more = rest.length > 0 ? button(moreLabel(rest.length), "more-rows") : null;
  if (more) hidden.set(more, { rows: rest, inline });
  const acts = h(
    "div",
    { class: "table__acts" },
    iconButton("Copy table", "icon-copy", "copy-table"),
    iconButton("Download CSV", "icon-download", "download-table"),
  );
  return h("div", { class: "table-box" }, box, more, acts);
}

/**
 * What the cells of a table say, those too that are not shown yet.
 * @param {HTMLElement} pressed a button beside it
 * @returns {string[][]}
 */
export function rowsBeside(pressed) {
  const box = pressed.closest(".table-box");
  const more = box?.querySelector("[data-action=more-rows]");
  const { rows = [], inline = () => [] } = (more && hidden.get(more)) ?? {};
  const shown = /** @type {HTMLTableRowElement[]} */ ([
    ...(box?.querySelectorAll("tr") ?? []),
  ]);
  const all = [...shown, ...rows.map((row) => rowNode(row, inline))];
  return all.map(({ cells }) => [...cells].map(saidIn));
}

/**
 * A cell's text: of a formula its source, of a link what was written.
 * @param {HTMLElement} cell
 */
function saidIn(cell) {
  const copy = /** @type {HTMLElement} */ (cell.cloneNode(true));
  for (const more of copy.querySelectorAll(".link-place, .remote-image__how")) {
    more.remove();
  }
  for (const formula of copy.querySelectorAll(".formula")) {
    const source = formula.querySelector("annotation")?.textContent;
    if (source) formula.textContent = source;
  }
  return copy.textContent.trim();
}

/**
 * A box that scrolls sideways, and can be reached with the keyboard to do so.
 * @param {HTMLTableElement} table
 */
export function scrollBox(table) {
  const box = { class: "table", tabindex: 0, role: "group", "aria-label": "Table" };
  return h("div", box, table);
}

/**
 * The next rows, after a press of `button`.
 * @param {HTMLElement} pressed
 */
export function showMoreRows(pressed) {
  const left = hidden.get(pressed);
  const body = pressed.parentElement?.querySelector("tbody");
  if (!left || !body) return;
  addRows(body, left.rows.splice(0, ROWS_PER_CLICK), left.inline);
  if (left.rows.length === 0) {
    /** @type {HTMLElement | null} */ (body.closest(".table"))?.focus();
    pressed.remove();
  } else pressed.textContent = moreLabel(left.rows.length);
}

/** @param {number} count */
function moreLabel(count) {
  return `Show ${Math.min(count, ROWS_PER_CLICK).toLocaleString("en")} more of ${count.toLocaleString("en")} rows`;
}

/**
 * The cells of each row: what opens a cell, and what is in it, by turns.
 * @param {Token[]} tokens
 */
function rowsOf(tokens) {
  /** @type {Token[][]} */
  const rows = [];
  for (const token of tokens) {
    if (token.type === "tr_open") rows.push([]);
    else if (/^t[hd]_open$|^inline$/.test(token.type)) rows.at(-1)?.push(token);
  }
  return rows;
}

/**
 * @param {HTMLElement} body
 * @param {Token[][]} rows
 * @param {Inline} inline
 */
function addRows(body, rows, inline) {
  for (const row of rows) body.append(rowNode(row, inline));
}

/**
 * @param {Token[]} row
 * @param {Inline} inline
 */
function rowNode(row, inline) {
  const cells = [];
  for (let at = 0; at + 1 < row.length; at += 2) {
    const [cell, content] = /** @type {[Token, Token]} */ (row.slice(at, at + 2));
    // CommonMark's tables say this in a style, which the policy forbids.
    const align = String(cell.attrGet("style") ?? "").replace("text-align:", "");
    const tag = /** @type {"th" | "td"} */ (cell.tag);
    cells.push(h(tag, { "data-align": align || null }, ...inline(content, true)));
  }
  return h("tr", {}, ...cells);
}
