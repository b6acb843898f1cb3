/**
 * The sessions as the sidebar shows them: grouped by day, with what is new in them.
 *
 * @import { SessionRow } from "../types.js"
 * @import { Kept } from "./kept.js"
 */

import { dayOf } from "./format.js";

const KEY = "looked";
const LIMIT = 500;

/** @typedef {"running" | "queued" | "failed" | "new" | "idle"} Liveness */

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
    groups.set(heading, [...(groups.get(heading) ?? []), row]);
  }
  return [...groups].map(([heading, of]) => ({ heading, rows: of }));
}

/** @param {SessionRow[]} rows */
function sorted(rows) {
  return [...rows].sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.timestamp - a.timestamp,
  );
}

/** The last end that was seen of each session, in this browser; by the server's clock. */
export class Looked {
  #kept;

  /** @param {Kept} kept */
  constructor(kept) {
    this.#kept = kept;
  }

  /** @param {SessionRow} row somebody looks at it now */
  note({ session_id, finished }) {
    const all = this.#read().filter(([id]) => id !== session_id);
    all.push([session_id, finished ?? 0]);
    this.#kept.set(KEY, all.slice(-LIMIT));
  }

  /** @param {string} sessionId something was asked there, and its end is yet to be seen */
  expect(sessionId) {
    const isKnown = this.#read().some(([id]) => id === sessionId);
    if (!isKnown) this.#kept.set(KEY, [...this.#read(), [sessionId, 0]].slice(-LIMIT));
  }

  /**
   * @param {SessionRow} row
   * @returns {Liveness}
   */
  livenessOf(row) {
    if (row.status !== "idle") return row.status;
    const looked = this.#read().find(([id]) => id === row.session_id)?.[1];
    const isNew = looked !== undefined && (row.finished ?? 0) > looked;
    if (isNew && row.reason === "failed") return "failed";
    return isNew ? "new" : "idle";
  }

  /** @returns {[string, number][]} */
  #read() {
    return this.#kept.list(KEY);
  }
}
