/**
 * Numbers and times as people read them.
 */

import { cut } from "./cut.js";

/**
 * Milliseconds: "12 ms", "2.4 s", "42 s", "1 min 0 s", "2 h 5 min". No time at all is "".
 * In whole numbers all the way, as chat/templatetags/transcript.py does it.
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < 0.5) return "";
  if (ms < 999.5) return `${Math.floor(ms + 0.5)} ms`;
  const tenths = Math.floor((ms + 50) / 100);
  if (tenths < 100) return `${tenths / 10} s`;
  const seconds = Math.floor((ms + 500) / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A question of more characters or lines than these is folded. */
const QUESTION_CHARS = 1_200;
const QUESTION_LINES = 16;

/**
 * Would a question take more than about a screen?
 * @param {string} text
 */
export function isLongQuestion(text) {
  return text.length > QUESTION_CHARS || text.split("\n").length > QUESTION_LINES;
}

/**
 * "1 tool", "2 tools"; "" for none.
 * @param {number} number
 * @param {string} noun
 */
export function count(number, noun) {
  if (number === 0) return "";
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * The time of day, and before it the day where that is not today.
 * @param {number} timestamp Unix seconds
 * @param {number} now milliseconds
 */
export function clockTime(timestamp, now) {
  const date = new Date(timestamp * 1000);
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (startOfDay(timestamp * 1000) === startOfDay(now)) return time;
  const isThisYear = date.getFullYear() === new Date(now).getFullYear();
  const day = date.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    ...(isThisYear ? {} : { year: "numeric" }),
  });
  return `${day}, ${time}`;
}

/** @param {number} chars */
export function size(chars) {
  if (chars < 1000) return `${chars} B`;
  if (chars < 1_000_000) return `${Math.round(chars / 1000)} KB`;
  return `${(chars / 1_000_000).toFixed(1)} MB`;
}

/**
 * One line of at most `limit` characters.
 * @param {string} text
 * @param {number} limit
 */
export function oneLine(text, limit) {
  const line = cut(text, limit * 4)
    .replace(/\s+/g, " ")
    .trim();
  const start = cut(line, limit);
  return start === line ? line : `${start.trimEnd()}…`;
}

/**
 * The day of a time, as headings of the list of sessions say it.
 * @param {number} timestamp Unix seconds
 * @param {number} now milliseconds
 */
export function dayOf(timestamp, now) {
  const days = Math.round(
    (startOfDay(now) - startOfDay(timestamp * 1000)) / 86_400_000,
  );
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "Previous 7 days";
  if (days < 31) return "Previous 30 days";
  return new Date(timestamp * 1000).toLocaleDateString("en", {
    month: "long",
    year: "numeric",
  });
}

/** @param {number} ms */
function startOfDay(ms) {
  return new Date(ms).setHours(0, 0, 0, 0);
}
