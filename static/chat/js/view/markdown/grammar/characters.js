/**
 * Classes of characters that several rules ask about.
 *
 * The twin of chat/markdown/characters.py.
 */

/** CommonMark's Unicode whitespace. */
export const WHITESPACE = /[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/;

/** CommonMark's Unicode punctuation: punctuation and symbols. */
export const PUNCTUATION = /[\p{P}\p{S}]/u;

/**
 * Chinese, Japanese and Korean: letters, punctuation and full-width forms, and what only
 * stands behind an ideograph. Words of these are not separated by spaces.
 */
export const CJK = new RegExp(
  "[\\u1100-\\u11ff\\u2e80-\\u2fff\\u3001-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7ff\\uf900-\\ufaff" +
    "\\ufe10-\\ufe1f\\ufe30-\\ufe6f\\uff00-\\uffef\\u{16fe0}-\\u{18d8f}\\u{1b000}-\\u{1b16f}" +
    "\\u{1f200}-\\u{1f2ff}\\u{20000}-\\u{3fffd}\\u{e0100}-\\u{e01ef}]",
  "u",
);

/** A letter, digit or mark that is not ASCII. */
const FOREIGN = /[\p{L}\p{N}\p{M}]/u;

/**
 * The character that begins at `at`, whole; "" at the end.
 * @param {string} text
 * @param {number} at
 */
export function characterAt(text, at) {
  const code = text.codePointAt(at);
  return code === undefined ? "" : String.fromCodePoint(code);
}

/**
 * The character that ends before `at`, whole; "" at the beginning.
 * @param {string} text
 * @param {number} at
 */
export function characterBefore(text, at) {
  const isPair = at > 1 && /[\udc00-\udfff]/.test(text.charAt(at - 1));
  return isPair ? characterAt(text, at - 2) : text.charAt(at - 1);
}

/**
 * Would this character, beside an ASCII host or name, be a part of it? So it is with
 * `ü`; a sentence in CJK goes on without a space.
 * @param {string} character
 */
export function goesOnAsWord(character) {
  return character > "\x7f" && FOREIGN.test(character) && !CJK.test(character);
}
