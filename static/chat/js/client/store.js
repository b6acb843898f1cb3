/**
 * A value that says when it changes.
 *
 * @import { Writable } from "./types.js"
 */

/**
 * @template T
 * @param {T} value
 * @returns {Writable<T>}
 */
export function writable(value) {
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      listener(value);
      return () => listeners.delete(listener);
    },
  };
}
