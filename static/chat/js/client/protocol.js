/**
 * The wire's names, and encode and decode; the twin of chat/wire/protocol.py.
 *
 * @import { Command, ServerMessage } from "./types.js"
 */

export const PROTOCOL_VERSION = 2;
export const MAX_MESSAGE_CHARS = 32_000;

export const CLOSE = Object.freeze({
  normal: 1000,
  lost: 1006,
  notThisProtocol: 4400,
  notSignedIn: 4401,
  forbidden: 4403,
  noSuchSession: 4404,
  tooMany: 4429,
  overloaded: 4503,
});

/** @type {Set<number>} Codes after which coming back by itself is pointless. */
const FINAL = new Set([
  CLOSE.notThisProtocol,
  CLOSE.notSignedIn,
  CLOSE.forbidden,
  CLOSE.noSuchSession,
]);

/**
 * May the client come back after this close code?
 * @param {number} code
 */
export function isFinal(code) {
  return FINAL.has(code);
}

/** Reasons a run can end with that `retry` continues instead of starting over. */
export const CONTINUABLE = Object.freeze(
  new Set(["cut", "server_lost", "stopped", "failed", "max_iterations"]),
);

/** @param {Command} command */
export function encode(command) {
  return JSON.stringify(command);
}

/**
 * The message in a frame, or null where it is none.
 * @param {unknown} text
 * @returns {ServerMessage | null}
 */
export function decode(text) {
  if (typeof text !== "string") return null;
  try {
    const message = JSON.parse(text);
    return isMessage(message) ? message : null;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @returns {value is ServerMessage}
 */
function isMessage(value) {
  if (typeof value !== "object" || value === null) return false;
  const { type, data } = /** @type {{ type?: unknown, data?: unknown }} */ (value);
  return typeof type === "string" && typeof data === "object" && data !== null;
}
