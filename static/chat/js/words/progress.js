/**
 * How far something has come, as people read it; the twin of chat/words/progress.py.
 *
 * @import { Progress } from "../client/types.js"
 */

import { terminalText } from "./terminal.js";

/**
 * "3 of 10 · sheep", with what there is of that; "" where there is nothing.
 * @param {Progress} progress
 */
export function progressWords({ done, total, text }) {
  const of = total === undefined ? "" : ` of ${amount(total)}`;
  const count = done === undefined ? "" : `${amount(done)}${of}`;
  return [count, terminalText(text ?? "")].filter(Boolean).join(" · ");
}

/**
 * What a bar shows; null where the whole is not known.
 * @param {Progress} progress
 */
export function shareOf({ done, total }) {
  return done === undefined || !total
    ? null
    : { value: Math.min(done, total), max: total };
}

/**
 * "1,234.5": a number with at most two decimals.
 * @param {number} number
 */
function amount(number) {
  const rounded = Math.floor(number * 100 + 0.5) / 100;
  return rounded.toLocaleString("en", { maximumFractionDigits: 2 });
}
