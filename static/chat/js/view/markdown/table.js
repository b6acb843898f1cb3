/**
 * Tables: they scroll by themselves, and of a very long one the first rows come first.
 *
 * @import { Token, Tokens } from "../../../vendor/marked.js"
 */

import { button, h } from "../dom.js";

const FIRST_ROWS = 200;
const ROWS_PER_CLICK = 2_000;

/** @typedef {(tokens: Token[] | undefined) => Node[]} Inline */

/**
 * What "show more" still has to show.
 * @type {WeakMap<Element, { rows: Tokens.TableCell[][], inline: Inline }>}
 */
const hidden = new WeakMap();

/**
 * @param {Tokens.Table} token
 * @param {Inline} inline
 */
export function tableNode(token, inline) {
  const head = h("tr", {}, ...token.header.map((cell) => cellNode("th", cell, inline)));
  const body = h("tbody", {});
  const box = scrollBox(h("table", {}, h("thead", {}, head), body));
  addRows(body, token.rows.slice(0, FIRST_ROWS), inline);
  const rest = token.rows.slice(FIRST_ROWS);
  if (rest.length === 0) return box;
  const more = button(moreLabel(rest.length), "more-rows");
  hidden.set(more, { rows: rest, inline });
  return h("div", {}, box, more);
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
 * @param {HTMLElement} body
 * @param {Tokens.TableCell[][]} rows
 * @param {Inline} inline
 */
function addRows(body, rows, inline) {
  for (const row of rows) {
    body.append(h("tr", {}, ...row.map((cell) => cellNode("td", cell, inline))));
  }
}

/**
 * @param {"th" | "td"} tag
 * @param {Tokens.TableCell} cell
 * @param {Inline} inline
 */
function cellNode(tag, cell, inline) {
  return h(tag, { "data-align": cell.align }, ...inline(cell.tokens));
}
