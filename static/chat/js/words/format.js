/**
 * Numbers and times as people read them.
 */

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
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
  const start = text
    .slice(0, limit * 4)
    .replace(/\s+/g, " ")
    .trim();
  return start.length > limit ? `${start.slice(0, limit).trimEnd()}…` : start;
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
  if (days < 7) return "Last 7 days";
  if (days < 31) return "Last 30 days";
  return new Date(timestamp * 1000).toLocaleDateString("en", {
    month: "long",
    year: "numeric",
  });
}

/** @param {number} ms */
function startOfDay(ms) {
  return new Date(ms).setHours(0, 0, 0, 0);
}
