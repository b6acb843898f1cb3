/**
 * Markdown that grows. Finished blocks are parsed once and never touched again; only
 * the block at the end is read anew, and that at most a fifth of the time.
 *
 * @import { Token } from "../../../vendor/markdown-it.js"
 */

import { keepSelection } from "../selection.js";
import { blocks, normalized, settledLine } from "./grammar/grammar.js";
import { morphChildren } from "./morph.js";
import { blockNodes } from "./nodes.js";
import { highlight, setFormula } from "./on_demand.js";

/** How much is read at a time; doubled while one block is longer than it. */
const WINDOW = 8_000;

/** Finished blocks kept together, so that the browser can skip many at once. */
const CHUNK = 24;

/** Milliseconds of work after which the next frame gets its turn. */
const SLICE_MS = 8;

/** Rest this many times as long as the last reading took. */
const REST = 4;

export class MarkdownStream {
  #settled;
  #live;
  #now;
  #text = "";
  #offset = 0;
  #window = WINDOW;
  #restUntil = 0;

  /**
   * @param {HTMLElement} root an empty element of its own
   * @param {() => number} now milliseconds
   */
  constructor(root, now) {
    this.#now = now;
    this.#settled = root;
    this.#live = document.createElement("div");
    this.#live.className = "md-live";
    root.append(this.#live);
  }

  /**
   * Show `text`. False: there is more to do, call again next frame.
   * @param {string} text all of it
   * @param {boolean} isDone nothing will be added
   */
  update(text, isDone) {
    text = normalized(text);
    if (!text.startsWith(this.#text)) this.#startOver();
    this.#text = text;
    const start = this.#now();
    if (start < this.#restUntil && !isDone) return false;
    const isShown = this.#read(text, isDone, start + SLICE_MS);
    const end = this.#now();
    this.#restUntil = isShown ? end + (end - start) * REST : 0;
    return isShown;
  }

  #startOver() {
    this.#offset = 0;
    this.#window = WINDOW;
    this.#settled.replaceChildren(this.#live);
    this.#live.replaceChildren();
  }

  /**
   * @param {string} text
   * @param {boolean} isDone
   * @param {number} deadline
   */
  #read(text, isDone, deadline) {
    while (!this.#readWindow(text, isDone)) {
      if (this.#now() > deadline) return false;
    }
    return true;
  }

  /**
   * @param {string} text
   * @param {boolean} isDone
   */
  #readWindow(text, isDone) {
    const end = Math.min(text.length, this.#offset + this.#window);
    const tail = text.slice(this.#offset, end);
    const isLast = end === text.length;
    const tokens = blocks(tail, !(isLast && isDone));
    if (isLast && isDone) {
      keepSelection(this.#settled, () => {
        this.#live.replaceChildren();
        this.#settle(tokens);
      });
      this.#offset = end;
      return true;
    }
    const lines = lineStarts(tail);
    const line = settledLine(tokens, lines.length - 1);
    const isSettled = (/** @type {Token} */ { map }) => !map || map[0] < line;
    const live = tokens.findIndex((token) => token.level === 0 && !isSettled(token));
    keepSelection(this.#settled, () => {
      this.#settle(tokens.slice(0, live));
      if (isLast) morphChildren(this.#live, blockNodes(tokens.slice(live)));
    });
    this.#offset += lines[line] ?? 0;
    this.#window = line > 0 ? WINDOW : this.#window * 2;
    return isLast;
  }

  /** @param {Token[]} tokens */
  #settle(tokens) {
    if (tokens.length === 0) return;
    this.#live.replaceChildren();
    for (const node of blockNodes(tokens)) {
      this.#chunk.append(node);
      if (node instanceof HTMLElement) finish(node);
    }
  }

  /**
   * Where the next finished block goes. A full chunk that is out of sight costs the
   * browser nothing, however long the answer grows.
   */
  get #chunk() {
    const last = this.#live.previousElementSibling;
    if (last && last.childElementCount < CHUNK) return last;
    last?.classList.add("is-full");
    const chunk = document.createElement("div");
    chunk.className = "md-chunk";
    this.#live.before(chunk);
    return chunk;
  }
}

/**
 * Where each line begins, the one after the last line end included.
 * @param {string} text
 */
function lineStarts(text) {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
    starts.push(at + 1);
  }
  return starts;
}

/**
 * What only finished blocks get.
 * @param {HTMLElement} block
 */
export function finish(block) {
  for (const figure of all(block, "figure.code")) {
    const code = figure.querySelector("code");
    if (code) highlight(code, figure.dataset.language ?? "");
  }
  for (const element of all(block, ".formula")) {
    setFormula(element, element.textContent ?? "", "block" in element.dataset);
  }
}

/**
 * Those that match in `root`, itself included.
 * @param {HTMLElement} root
 * @param {string} selector
 * @returns {HTMLElement[]}
 */
function all(root, selector) {
  const found = [
    .../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(selector)),
  ];
  return root.matches(selector) ? [root, ...found] : found;
}
