/**
 * The connection in words, and what a person can do about it.
 *
 * @import { Line } from "../client/types.js"
 */

import { CLOSE } from "../client/protocol.js";

/**
 * @typedef {object} LineWords
 * @property {"live" | "wait" | "off"} tone
 * @property {string} text
 * @property {number} [seconds] until the next attempt
 * @property {"now" | "login" | "reload" | "restore" | "new"} [action]
 */

/** @type {Record<number, LineWords>} */
const ENDED = {
  [CLOSE.notSignedIn]: { tone: "off", text: "Signed out", action: "login" },
  [CLOSE.noSuchSession]: {
    tone: "off",
    text: "There is no such chat for you",
    action: "new",
  },
  [CLOSE.forbidden]: { tone: "off", text: "Not allowed here" },
  [CLOSE.notThisProtocol]: {
    tone: "off",
    text: "This page is out of date",
    action: "reload",
  },
};

/**
 * Was the chat deleted? It was this person's: they have seen something of it.
 * @param {Line} line
 * @param {boolean} hasRuns
 */
export function isDeleted({ state, code }, hasRuns) {
  return state === "ended" && code === CLOSE.noSuchSession && hasRuns;
}

/**
 * @param {Line} line
 * @param {number} now clock milliseconds
 * @param {boolean} hasRuns
 * @param {string} [notice] what the server has everybody know
 * @returns {LineWords}
 */
export function lineWords(line, now, hasRuns, notice = "") {
  if (isDeleted(line, hasRuns)) {
    return { tone: "off", text: "This chat was deleted", action: "restore" };
  }
  switch (line.state) {
    case "live":
      return notice ? { tone: "wait", text: notice } : { tone: "live", text: "Live" };
    case "joining":
      return { tone: "wait", text: "Catching up…" };
    case "doubt":
      return { tone: "wait", text: "Checking the connection…" };
    case "offline":
      return { tone: "off", text: "Offline", action: "now" };
    case "waiting":
      return waitingWords(line, now);
    case "ended":
      return ENDED[line.code] ?? { tone: "off", text: "Disconnected" };
    default:
      return { tone: "wait", text: "Connecting…" };
  }
}

/**
 * @param {Line} line
 * @param {number} now
 * @returns {LineWords}
 */
function waitingWords({ retryAt }, now) {
  if (retryAt === null) return { tone: "off", text: "Disconnected", action: "now" };
  const seconds = Math.ceil((retryAt - now) / 1000);
  if (seconds < 1) return { tone: "wait", text: "Reconnecting…" };
  return { tone: "wait", text: "Reconnecting", seconds, action: "now" };
}
