/**
 * Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 * The first try within 250 ms, then up to 0.5, 1, 2 … 20 s.
 */

const FIRST_MS = 250;
const CAP_MS = 20_000;

/** After "too many" the server wants us gone for a while. */
const BUSY_MS = 5_000;

/**
 * Milliseconds to wait before attempt `attempt`, counted from 0.
 * @param {number} attempt
 * @param {() => number} random uniform in [0, 1)
 */
export function backoff(attempt, random) {
  const ceiling = Math.min(CAP_MS, FIRST_MS * 2 ** attempt);
  return Math.round(random() * ceiling);
}

/**
 * The same, for a server that said it is too busy: never at once.
 * @param {number} attempt
 * @param {() => number} random
 */
export function busyBackoff(attempt, random) {
  return BUSY_MS + backoff(attempt + 4, random);
}
