/**
 * What a terminal would show: programs colour their output, and write a line over and
 * over to show progress.
 *
 * The twin of chat/words/terminal.py.
 */

// Colours, cursor movements, titles, links; also those that are not complete yet.
const INTRODUCER = "(?:\\u001b\\[|\\u009b)";
const SEQUENCE =
  `${INTRODUCER}[0-?]*[ -/]*(?:[@-~]|$)` +
  "|\\u001b\\][^\\u0007\\u001b\\n]*(?:\\u0007|\\u001b\\\\)?" +
  "|\\u001b[PX^_][^\\u001b\\n]*(?:\\u001b\\\\)?" +
  "|\\u001b[ -/]*(?:[0-~]|$)?";
const CONTROLS = /[^\P{Cc}\t\n]/u;
const PIECES = new RegExp(`${SEQUENCE}|[^\\P{Cc}\\t]|[\\P{Cc}\\t]+`, "gu");
const ERASE = new RegExp(`^${INTRODUCER}([0-2]?)K$`, "u");

/**
 * The text without control codes, each line as it was in the end.
 * @param {string} text
 */
export function terminalText(text) {
  if (!CONTROLS.test(text)) return text;
  return text.replaceAll("\r\n", "\n").split("\n").map(lastState).join("\n");
}

/** @param {string} text */
function lastState(text) {
  if (!CONTROLS.test(text)) return text;
  const line = new Line();
  for (const [piece] of text.matchAll(PIECES)) line.take(piece);
  return line.shown.join("");
}

/** A line of a terminal, and where in it is written. */
class Line {
  /** @type {string[]} */
  shown = [];
  #at = 0;

  /** @param {string} piece text, or a control code */
  take(piece) {
    if (piece === "\r") this.#at = 0;
    else if (piece === "\b") this.#at = Math.max(0, this.#at - 1);
    else if (CONTROLS.test(piece)) this.#erase(ERASE.exec(piece)?.[1]);
    else this.#write(piece);
  }

  /** @param {string} text */
  #write(text) {
    while (this.shown.length < this.#at) this.shown.push(" ");
    for (const character of text) {
      this.shown[this.#at] = character;
      this.#at += 1;
    }
  }

  /** @param {string | undefined} what "": from here on; "1": up to here; "2": all */
  #erase(what) {
    if (what === "1") this.shown.fill(" ", 0, this.#at);
    else if (what === "2") this.shown.length = 0;
    else if (what !== undefined)
      this.shown.length = Math.min(this.#at, this.shown.length);
  }
}
