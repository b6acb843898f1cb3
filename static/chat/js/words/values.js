/**
 * JSON as it was written: numbers keep their digits, objects the order of their keys,
 * and keys that come twice. `JSON.parse` keeps none of these.
 *
 * The twin of chat/words/values.py.
 *
 * @typedef {{ kind: "plain", text: string }} Plain a number, true, false or null
 * @typedef {{ kind: "string", text: string }} Text
 * @typedef {{ kind: "array", items: Value[] }} List
 * @typedef {{ kind: "object", entries: [string, Value][] }} Entries
 * @typedef {Plain | Text | List | Entries} Value
 *
 * @typedef {object} Part of a value that is laid out for people
 * @property {string} text
 * @property {boolean} isLines a string of several lines, shown as these
 */

import { terminalText } from "./terminal.js";

/** What is longer is shown as text. */
const PARSE_LIMIT = 1_000_000;

const TOKEN = /[ \t\n\r]*([[\]{}:,]|"[^"\\]*(?:\\.[^"\\]*)*"|[^[\]{}:,"\s]+)/y;

/**
 * The value, or undefined if this is not JSON.
 * @param {string} text
 * @returns {Value | undefined}
 */
export function jsonValue(text) {
  if (text.length > PARSE_LIMIT) return undefined;
  try {
    JSON.parse(text);
    return new Tokens(text).value();
  } catch {
    return undefined; // no JSON, or nested too deep
  }
}

/** The tokens of a text that is known to be JSON. */
class Tokens {
  #text;
  #at = 0;

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
  }

  /** @returns {Value} */
  value() {
    const token = this.#next();
    if (token === "{") return { kind: "object", entries: this.#list("}", this.#entry) };
    if (token === "[") return { kind: "array", items: this.#list("]", this.value) };
    if (token.startsWith('"')) return { kind: "string", text: JSON.parse(token) };
    return { kind: "plain", text: token };
  }

  /** @returns {[string, Value]} */
  #entry() {
    const key = JSON.parse(this.#next());
    this.#next();
    return [key, this.value()];
  }

  /**
   * @template T
   * @param {string} end
   * @param {() => T} read
   */
  #list(end, read) {
    /** @type {T[]} */
    const items = [];
    while (this.#peek() !== end) {
      items.push(read.call(this));
      if (this.#peek() === ",") this.#next();
    }
    this.#next();
    return items;
  }

  #next() {
    TOKEN.lastIndex = this.#at;
    const token = TOKEN.exec(this.#text)?.[1] ?? "";
    this.#at = TOKEN.lastIndex;
    return token;
  }

  #peek() {
    const at = this.#at;
    const token = this.#next();
    this.#at = at;
    return token;
  }
}

/**
 * A value on one line.
 * @param {Value} value
 * @returns {string}
 */
export function compact(value) {
  switch (value.kind) {
    case "plain":
      return value.text;
    case "string":
      return quoted(value.text);
    case "array":
      return `[${value.items.map(compact).join(",")}]`;
    case "object":
      return `{${value.entries.map(([key, each]) => `${quoted(key)}:${compact(each)}`).join(",")}}`;
  }
}

/**
 * A value in a few words: a string without its quotes.
 * @param {Value} value
 */
export function plainly(value) {
  return value.kind === "string" ? terminalText(value.text) : compact(value);
}

/**
 * A value laid out over lines. A string of several lines is a part of its own.
 * @param {Value} value
 * @returns {Part[]}
 */
export function laidOut(value) {
  /** @type {Part[]} */
  const parts = [];
  lay(value, "", "", parts);
  const last = parts.at(-1);
  if (last && !last.isLines) last.text = last.text.slice(0, -1);
  return parts;
}

/**
 * @param {Value} value
 * @param {string} indent
 * @param {string} end what follows it: a comma, or nothing
 * @param {Part[]} parts
 */
function lay(value, indent, end, parts) {
  if (value.kind === "array" && value.items.length > 0) {
    const rows = value.items.map((item) => /** @type {const} */ (["", item]));
    layRows("[", rows, "]", indent, end, parts);
  } else if (value.kind === "object" && value.entries.length > 0) {
    const rows = value.entries.map(
      ([key, item]) => /** @type {const} */ ([`${quoted(key)}: `, item]),
    );
    layRows("{", rows, "}", indent, end, parts);
  } else if (value.kind === "string" && isLines(value.text)) {
    parts.push({ text: terminalText(value.text), isLines: true });
  } else {
    add(parts, `${compact(value)}${end}\n`);
  }
}

/**
 * @param {string} opening
 * @param {(readonly [label: string, item: Value])[]} rows
 * @param {string} closing
 * @param {string} indent
 * @param {string} end
 * @param {Part[]} parts
 */
function layRows(opening, rows, closing, indent, end, parts) {
  const inner = `${indent}  `;
  add(parts, `${opening}\n`);
  rows.forEach(([label, item], index) => {
    add(parts, `${inner}${label}`);
    lay(item, inner, index < rows.length - 1 ? "," : "", parts);
  });
  add(parts, `${indent}${closing}${end}\n`);
}

/** @param {string} text */
function isLines(text) {
  return text.trimEnd().includes("\n");
}

/**
 * @param {Part[]} parts
 * @param {string} text
 */
function add(parts, text) {
  const last = parts.at(-1);
  if (last && !last.isLines) last.text += text;
  else parts.push({ text, isLines: false });
}

/** @param {string} text */
function quoted(text) {
  return JSON.stringify(terminalText(text));
}
