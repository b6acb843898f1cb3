/**
 * Addresses: which of them a link may lead to, and where they begin and end when they
 * are written bare (`https://…`, `www.…`, `name@host`).
 *
 * A bare address ends before punctuation of CJK text, and its host is ASCII: a link never
 * leads to a host other than the one written.
 *
 * The twin of chat/markdown/addresses.py.
 *
 * @import { StateInline } from "../../../../vendor/markdown-it.js"
 */

import {
  CJK,
  characterAt,
  characterBefore,
  goesOnAsWord,
  PUNCTUATION,
} from "./characters.js";

const PLAIN =
  /(?<![A-Za-z0-9_])https?:\/\/|(?<![A-Za-z0-9_./@:-])www\.|(?<![A-Za-z0-9._%+/-])[A-Za-z0-9._%+-]{1,64}@(?=[A-Za-z0-9])|\\(?=[!-/:-@[-`{-~\n])|[\n`*_~[\]!<&$]/gi;
const ADDRESS = /(https?:\/\/|www\.)|([A-Za-z0-9._%+-]{1,64}@)/iuy;
const HOST = /[A-Za-z0-9._-]*/y;
const PORT = /:[0-9]{1,5}(?![0-9])/y;
/** A reference to a character ends a path, unless it is `&amp;`. */
const PATH =
  /[/?#](?:[^\s<>"`\\[\]&\u2018-\u201f\u2026\u2014\u2015«»‹›\p{Cc}]|&(?!(?!amp;)(?:[a-z][a-z0-9]{1,31}|#[0-9]{1,7}|#x[0-9a-f]{1,6});)|\[[\w.:-]*\](?!\())*/iuy;
const TAIL = "?!.,:;*_~'\"|";
const KATAKANA = /[\u30a1-\u30ff]/;

const LINK =
  /^(https?):\/\/(?:([^/?#@]*)@)?([^/?#@:[\]]+)(?::([0-9]{0,5}))?([/?#].*)?$/is;
const MAIL = /^mailto:([^\s]+)$/i;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const IPV4 = new RegExp(`^${BYTE}(?:\\.${BYTE}){3}$`);
/** Characters that are not seen, or that turn the order of others. */
const INVISIBLE = /[\p{Cc}\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u;

/**
 * @typedef {object} Target
 * @property {string} href the address as a link has it
 * @property {string} place what a person should see of it: its host, or its mailbox
 * @property {boolean} isPlain nothing stands before the host that could be taken for it
 */

/**
 * The address, if it is one that a person may be sent to.
 * @param {string} address as Markdown's rules leave it: encoded, ASCII
 * @returns {Target | null}
 */
export function targetOf(address) {
  const mail = MAIL.exec(address);
  if (mail?.[1]) {
    const place = /** @type {string} */ (mail[1].split("?", 1)[0]);
    return { href: `mailto:${mail[1]}`, place, isPlain: true };
  }
  const link = LINK.exec(address);
  if (!link) return null;
  const [, scheme = "", user, written = "", port = "", rest = ""] = link;
  const host = written.toLowerCase();
  if (!isHost(host) || Number(port) > 65_535) return null;
  const place = port ? `${host}:${port}` : host;
  const path = rest.startsWith("/") ? rest : `/${rest}`;
  const before = user === undefined ? "" : `${user}@`;
  return {
    href: `${scheme.toLowerCase()}://${before}${place}${path}`,
    place,
    isPlain: user === undefined,
  };
}

/**
 * Does the text of a link say itself, and first, where the link goes?
 * @param {string} text
 * @param {Target} target
 */
export function saysWhere(text, { place, isPlain }) {
  const said = text.replace(/^https?:\/\//i, "");
  const start = said.slice(0, place.length).toLowerCase();
  const next = said.charAt(place.length);
  return (
    isPlain &&
    start === place.toLowerCase() &&
    (next === "" || "/?#".includes(next)) &&
    !INVISIBLE.test(text)
  );
}

/**
 * A host that means the same to everybody: no other way to write an address in numbers.
 * @param {string} host
 */
function isHost(host) {
  const labels = host.replace(/\.$/, "").split(".");
  if (!labels.every((label) => LABEL.test(label))) return false;
  return !NUMBER.test(labels.at(-1) ?? "") || IPV4.test(host);
}

/**
 * Text up to where another rule may begin: a marker, or a bare address.
 * @param {StateInline} state
 * @param {boolean} silent
 */
export function text(state, silent) {
  const { src, pos, posMax } = state;
  PLAIN.lastIndex = pos;
  const end = Math.min(PLAIN.exec(src)?.index ?? posMax, posMax);
  if (end === pos) return false;
  if (!silent) state.pending += src.slice(pos, end);
  state.pos = end;
  return true;
}

/**
 * @param {StateInline} state
 * @param {boolean} silent
 */
export function bareAddress(state, silent) {
  if (state.linkLevel > 0) return false;
  const { src, pos, posMax } = state;
  ADDRESS.lastIndex = pos;
  const match = ADDRESS.exec(src);
  if (!match || goesOnAsWord(characterBefore(src, pos))) return false;
  const start = pos + match[0].length;
  const end = match[1]
    ? addressEnd(src, start, posMax, match[1])
    : mailHostEnd(src, start, posMax);
  if (end < 0) return false;
  if (!silent) pushLink(state, src.slice(pos, end));
  state.pos = end;
  return true;
}

/**
 * @param {StateInline} state
 * @param {string} source
 */
function pushLink(state, source) {
  const written = state.md.utils.unescapeAll(source);
  const scheme = /^www\./i.test(written) ? "http://" : "mailto:";
  const address = /^https?:/i.test(written) ? written : `${scheme}${written}`;
  state.push("link_open", "a", 1).attrSet("href", state.md.normalizeLink(address));
  state.push("text", "", 0).content = written;
  state.push("link_close", "a", -1);
}

/**
 * Where an address ends, host, port, path and all; -1: it is none.
 * @param {string} src
 * @param {number} start of its host, or behind its `www.`
 * @param {number} end
 * @param {string} prefix
 */
function addressEnd(src, start, end, prefix) {
  const isNamed = prefix.endsWith("/");
  const host = hostEnd(src, start, end);
  if (host < 0 || src.charAt(host) === "@") return -1;
  if (isNamed && !isName(src, start, host, end)) return -1;
  const port = isNamed ? host + lengthAt(PORT, src, host) : host;
  const path = port + lengthAt(PATH, src, port);
  return withoutTail(src, port, cjkEnd(src, port, Math.min(path, end)));
}

/**
 * How much of the text matches a sticky pattern at a place.
 * @param {RegExp} pattern
 * @param {string} src
 * @param {number} at
 */
function lengthAt(pattern, src, at) {
  pattern.lastIndex = at;
  return pattern.exec(src)?.[0].length ?? 0;
}

/**
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function hostRun(src, start, end) {
  return src.slice(start, Math.min(start + lengthAt(HOST, src, start), end));
}

/**
 * Where a host ends; -1: it is none, or goes on in another alphabet.
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function hostEnd(src, start, end) {
  const host = hostRun(src, start, end).replace(/[._-]+$/, "");
  const after = start + host.length;
  if (!isHost(host.toLowerCase())) return -1;
  return after < end && goesOnAsWord(characterAt(src, after)) ? -1 : after;
}

/**
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function mailHostEnd(src, start, end) {
  const after = hostEnd(src, start, end);
  const isMail = src.slice(start, after).includes(".") && src.charAt(after) !== "@";
  return isMail ? after : -1;
}

/**
 * Is a host behind `http://` one? A single word may be a machine's name; before letters
 * of CJK, or a dot, who knows.
 * @param {string} src
 * @param {number} start
 * @param {number} hostEnd
 * @param {number} end
 */
function isName(src, start, hostEnd, end) {
  const host = src.slice(start, hostEnd).toLowerCase();
  if (host.includes(".") || host === "localhost") return true;
  if (hostRun(src, start, end).length > host.length) return false;
  return hostEnd >= end || !CJK.test(characterAt(src, hostEnd));
}

/**
 * Where CJK punctuation ends an address.
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function cjkEnd(src, start, end) {
  for (let at = start; at < end; at += characterAt(src, at).length) {
    if (isCjkPunctuation(characterAt(src, at)) && !joinsWords(src, at)) return at;
  }
  return end;
}

/** @param {string} character */
function isCjkPunctuation(character) {
  return character > "\x7f" && CJK.test(character) && PUNCTUATION.test(character);
}

/**
 * Is it the dot in `ジョン・レノン`?
 * @param {string} src
 * @param {number} at
 */
function joinsWords(src, at) {
  const { [at - 1]: before = "", [at]: dot, [at + 1]: after = "" } = src;
  return dot === "・" && KATAKANA.test(before) && KATAKANA.test(after);
}

/**
 * Without what rather belongs to the sentence: its full stop, the parenthesis around.
 * @param {string} src
 * @param {number} start
 * @param {number} end
 */
function withoutTail(src, start, end) {
  const address = src.slice(start, end);
  let open = address.split("(").length - address.split(")").length;
  let last = address.length;
  for (; last > 0; last -= 1) {
    const character = address.charAt(last - 1);
    if (character === ")" && open < 0) open += 1;
    else if (!TAIL.includes(character)) break;
  }
  return start + last;
}
