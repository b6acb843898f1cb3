/**
 * The sessions as the sidebar shows them: grouped by day.
 *
 * @import { SessionRow } from "../../client/types.js"
 */

import { dayOf } from "../../words/format.js";

/**
 * @param {SessionRow[]} rows
 * @param {number} now milliseconds
 * @returns {{ heading: string, rows: SessionRow[] }[]}
 */
export function groupedByDay(rows, now) {
  /** @type {Map<string, SessionRow[]>} */
  const groups = new Map();
  for (const row of sorted(rows)) {
    const heading = row.pinned ? "Pinned" : dayOf(row.timestamp, now);
    const group = groups.get(heading);
    if (group) group.push(row);
    else groups.set(heading, [row]);
  }
  return [...groups].map(([heading, of]) => ({ heading, rows: of }));
}

/** @param {SessionRow[]} rows */
function sorted(rows) {
  return [...rows].sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.timestamp - a.timestamp,
  );
}
