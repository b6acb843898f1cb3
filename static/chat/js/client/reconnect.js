/**
 * When to come back after a connection was lost.
 *
 * Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 * @import { Loss } from "./types.js"
 */

import { CLOSE } from "./protocol.js";

const FIRST_MS = 250;
const CAP_MS = 20_000;

/** After "too many" the server wants us gone for a while. */
const BUSY_MS = 5_000;

/** How often to try while the browser says that there is no network. */
const OFFLINE_MS = 20_000;

/** Attempts made by a page nobody looks at, before it waits to be looked at. */
const HIDDEN_ATTEMPTS = 8;

/** The reference system's, in milliseconds. */
const FIVE = [2_000, 4_000, 6_000, 8_000, 10_000];

/**
 * Milliseconds to wait before attempt `attempt`, counted from 0: the first within
 * 250 ms, then up to 0.5, 1, 2 … 20 s.
 * @param {number} attempt
 * @param {() => number} random uniform in [0, 1)
 */
export function backoff(attempt, random) {
  const ceiling = Math.min(CAP_MS, FIRST_MS * 2 ** attempt);
  return Math.round(random() * ceiling);
}

/**
 * The default policy: without end while somebody looks.
 * @param {Loss} loss
 * @returns {number | null}
 */
export function fullJitter({ attempt, code, isOnline, isVisible, random }) {
  if (!isVisible && attempt >= HIDDEN_ATTEMPTS) return null;
  // Browsers call a machine without a network offline, even if the server is on it.
  if (!isOnline) return OFFLINE_MS;
  if (code === CLOSE.tooMany) return BUSY_MS + backoff(attempt + 4, random);
  return backoff(attempt, random);
}

/**
 * The reference system's policy: five attempts, 2, 4, 6, 8 and 10 s after a loss.
 * @param {Loss} loss
 * @returns {number | null}
 */
export function fiveTries({ attempt }) {
  return FIVE[attempt] ?? null;
}
