/**
 * What a person should know about the connection, from what its parts know.
 *
 * @import { Connection, Joining, Line } from "./types.js"
 */

/**
 * @param {Connection} connection
 * @param {Joining} joining
 * @param {boolean} isOnline what the browser says
 * @returns {Line}
 */
export function lineOf(connection, joining, isOnline) {
  const { code, retryAt } = connection;
  const state = stateOf(connection, joining, isOnline);
  return { state, code, retryAt: state === "joining" ? joining.retryAt : retryAt };
}

/**
 * @param {Connection} connection
 * @param {Joining} joining
 * @param {boolean} isOnline
 * @returns {Line["state"]}
 */
function stateOf({ state, final, inDoubt, reason }, { isJoined }, isOnline) {
  if (final) return "ended";
  if (state === "connecting") return "connecting";
  if (state === "connected") return connectedState(inDoubt, isJoined);
  if (reason === NOT_STARTED) return "idle";
  return isOnline ? "waiting" : "offline";
}

/** The reason of a connection that was never asked for. */
export const NOT_STARTED = "not started";

/**
 * @param {boolean} inDoubt
 * @param {boolean} isJoined
 */
function connectedState(inDoubt, isJoined) {
  if (inDoubt) return "doubt";
  return isJoined ? "live" : "joining";
}

/**
 * @param {Line} a
 * @param {Line} b
 */
export function isSameLine(a, b) {
  return a.state === b.state && a.code === b.code && a.retryAt === b.retryAt;
}
