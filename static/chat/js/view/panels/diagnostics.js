/**
 * What the connection has been doing, to look at and to copy into a bug report.
 *
 * @import { Connection, Panel, Readable } from "../../types.js"
 * @import { Diagnostics, Line } from "../../model/diagnostics.js"
 * @import { Proven } from "../../model/proof.js"
 */

import { size } from "../../model/format.js";
import { button, delegate, h, setText } from "../dom.js";

/**
 * @typedef {object} Needs
 * @property {Diagnostics} diagnostics
 * @property {Readable<Connection>} connection
 * @property {Readable<Proven>} proof
 * @property {(panel: Panel<any>) => void} requestPaint
 * @property {(text: string) => void} copyText
 * @property {string} sessionId
 */

/** @implements {Panel<Needs>} */
export class DiagnosticsPanel {
  title = "Diagnostics";
  /** @type {Needs | null} */
  #needs = null;
  #facts = h("dl", { class: "facts" });
  #lines = h("ol", { class: "log", tabindex: 0, "aria-label": "Changes of state" });
  /** @type {Line | undefined} the last one that is shown */
  #last;
  /** @type {HTMLElement | null} */
  #root = null;
  /** @type {Map<string, HTMLElement>} */
  #values = new Map();
  /** @type {(() => void)[]} */
  #undo = [];

  /**
   * @param {HTMLElement} root
   * @param {Needs} needs
   */
  mount(root, needs) {
    this.#root = root;
    this.#needs = needs;
    const copy = button("Copy report", "copy-report");
    root.replaceChildren(
      this.#facts,
      h("h3", {}, "Changes of state"),
      this.#lines,
      copy,
    );
    this.#undo = [
      needs.diagnostics.subscribe(() => this.#isVisible && needs.requestPaint(this)),
      delegate(root, { "copy-report": () => needs.copyText(this.#report()) }),
    ];
  }

  update() {
    if (!this.#needs || !this.#isVisible) return;
    for (const [name, value] of this.#rows()) this.#set(name, value);
    this.#showLines(this.#needs.diagnostics.lines);
  }

  /** @param {Line[]} lines of which the oldest go and new ones come */
  #showLines(lines) {
    const last = lines.at(-1);
    if (last === this.#last) return;
    this.#last = last;
    const { scrollTop, scrollHeight, clientHeight } = this.#lines;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 8;
    this.#lines.replaceChildren(...lines.map((line) => h("li", {}, lineText(line))));
    if (isAtEnd) this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  unmount() {
    for (const undo of this.#undo) undo();
    this.#root?.replaceChildren();
  }

  /** Asked at every frame of the wire, so it must not make the browser lay out. */
  get #isVisible() {
    return this.#root?.closest("[hidden]") === null;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  #set(name, value) {
    let element = this.#values.get(name);
    if (!element) {
      element = h("dd");
      this.#values.set(name, element);
      this.#facts.append(h("div", {}, h("dt", {}, name), element));
    }
    setText(element, value);
  }

  /** @returns {[string, string][]} */
  #rows() {
    const { diagnostics, connection, proof, sessionId } = /** @type {Needs} */ (
      this.#needs
    );
    const { counts, latency } = diagnostics;
    const { state, code, reason } = connection.get();
    const { steps, wrong, isPossible } = proof.get();
    return [
      ["State", `${state} (${code || "no code"}, ${reason || "no reason"})`],
      ["Last ping answered in", latency ? `${Math.round(latency)} ms` : "no ping yet"],
      ["Frames received", `${counts.frames} (${size(counts.received)})`],
      ["Frames sent", String(counts.sent)],
      ["Times joined", String(counts.joins)],
      ["Doubles dropped", String(counts.doubles)],
      ["Gaps healed", String(counts.gaps + counts.healed)],
      [
        "Steps proved",
        isPossible ? `${steps}, wrong ${wrong}` : "not possible over http",
      ],
      ["Session", sessionId],
    ];
  }

  #report() {
    const rows = this.#rows().map(([name, value]) => `${name}: ${value}`);
    const lines = this.#needs?.diagnostics.lines.map(lineText) ?? [];
    return [...rows, `Browser: ${navigator.userAgent}`, "", ...lines].join("\n");
  }
}

/** @param {Line} line */
function lineText({ at, kind, detail }) {
  return `${new Date(at).toISOString().slice(11, 23)} ${kind} ${detail}`;
}
