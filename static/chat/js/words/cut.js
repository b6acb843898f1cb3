/**
 * The beginning of a text, in whole characters: no half of a surrogate pair, no letter
 * without its accents, no emoji without what it is joined with.
 *
 * The twin of chat/words/cut.py.
 */

/** What belongs to the character before it. */
const JOINED = /^(?:\p{M}|\u200c|\u200d|[\u{1f3fb}-\u{1f3ff}]|[\u{e0020}-\u{e007f}])/u;
const FLAG_HALF = /^[\u{1f1e6}-\u{1f1ff}]/u;
const JOINER = "\u200d";

/** A "character" of more code points than this is cut nevertheless. */
const LONGEST = 32;

/**
 * At most so many code points of the text, less if the last character would be cut.
 * @param {string} text
 * @param {number} limit
 */
export function cut(text, limit) {
  if (text.length <= limit) return text;
  const points = [...text.slice(0, 2 * (limit + 1))];
  if (points.length <= limit) return text;
  const start = Math.max(1, limit - LONGEST);
  for (let end = limit; end >= start; end -= 1) {
    if (!isInside(points, end)) return points.slice(0, end).join("");
  }
  return points.slice(0, limit).join("");
}

/**
 * Is this place within a character?
 * @param {string[]} points
 * @param {number} at
 */
function isInside(points, at) {
  const { [at - 1]: before = "", [at]: after = "" } = points;
  if (JOINED.test(after) || before === JOINER) return true;
  return FLAG_HALF.test(after) && flagHalvesBefore(points, at) % 2 === 1;
}

/**
 * @param {string[]} points
 * @param {number} at
 */
function flagHalvesBefore(points, at) {
  let count = 0;
  while (FLAG_HALF.test(points[at - 1 - count] ?? "")) count += 1;
  return count;
}
