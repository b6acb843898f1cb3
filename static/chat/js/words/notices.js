/**
 * What the client says in codes, as people read it. What only the server knows, it says
 * in its own words.
 *
 * @import { Notice } from "../client/types.js"
 */

/** @type {Record<string, (notice: Notice) => string>} */
const WORDS = {
  outbox_full: () => "Too many messages wait to be sent. Wait until some are.",
  stop_waits: () => "There is no connection. It will be stopped when that is back.",
  no_line: () => "There is no connection. Try again when it is back.",
  unreachable: () => "There is no connection to the server.",
  unreadable: () => "The server gave an answer that makes no sense.",
  session_deleted: ({ title }) => `Deleted “${title || "Untitled"}”.`,
};

/** @param {Notice} notice */
export function noticeText(notice) {
  const words = WORDS[notice.code];
  return words ? words(notice) : notice.message || "Something went wrong.";
}
